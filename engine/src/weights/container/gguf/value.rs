//! The values of a GGUF file's keys.

use super::cursor::Cursor;
use crate::error::GgufFault;
use crate::weights::container::{RANK_LIMIT, shown};

/// How deep lists may be nested.
const DEPTH_LIMIT: usize = 4;

/// The most numbers of a list that are kept: the extents of a shape. What is longer (a tokenizer's
/// vocabulary) is passed over.
const KEPT: usize = RANK_LIMIT;

const WHAT: &str = "a key's value";

/// One value.
pub(super) enum Value<'a> {
    Whole(i128),
    Float(f64),
    Bool(bool),
    Text(&'a str),
    /// A list of at most [`KEPT`] whole numbers.
    Numbers(Vec<i128>),
    /// Any other list.
    List,
}

impl<'a> Value<'a> {
    /// The value of `key`, which follows its type's number.
    pub(super) fn read(cursor: &mut Cursor<'a>, key: &str) -> Result<Self, GgufFault> {
        let kind = cursor.u32("a key's type")?;
        match kind {
            9 => Self::list(cursor, key, 0),
            _ => Self::scalar(cursor, key, kind),
        }
    }

    /// A value of type `kind`, which is not a list.
    pub(super) fn scalar(cursor: &mut Cursor<'a>, key: &str, kind: u32) -> Result<Self, GgufFault> {
        Ok(match kind {
            0 => Self::Whole(cursor.u8(WHAT)?.into()),
            1 => Self::Whole((cursor.u8(WHAT)? as i8).into()),
            2 => Self::Whole(cursor.u16(WHAT)?.into()),
            3 => Self::Whole((cursor.u16(WHAT)? as i16).into()),
            4 => Self::Whole(cursor.u32(WHAT)?.into()),
            5 => Self::Whole((cursor.u32(WHAT)? as i32).into()),
            6 => Self::Float(f32::from_bits(cursor.u32(WHAT)?).into()),
            7 => Self::Bool(cursor.u8(WHAT)? != 0),
            8 => Self::Text(cursor.text(WHAT)?),
            10 => Self::Whole(cursor.u64(WHAT)?.into()),
            11 => Self::Whole((cursor.u64(WHAT)? as i64).into()),
            12 => Self::Float(f64::from_bits(cursor.u64(WHAT)?)),
            kind => {
                return Err(GgufFault::Kind {
                    key: shown(key),
                    kind,
                });
            }
        })
    }

    fn list(cursor: &mut Cursor<'a>, key: &str, depth: usize) -> Result<Self, GgufFault> {
        if depth == DEPTH_LIMIT {
            return Err(GgufFault::Depth {
                key: shown(key),
                limit: DEPTH_LIMIT,
            });
        }
        let kind = cursor.u32("the type of a list")?;
        let count = cursor.u64("the length of a list")?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            // A list's type and length.
            9 => 12,
            kind => {
                return Err(GgufFault::Kind {
                    key: shown(key),
                    kind,
                });
            }
        };
        let count = cursor.count("a list", count, least)?;
        let mut numbers = Vec::new();
        match kind {
            8 | 9 => {
                for _ in 0..count {
                    match kind {
                        8 => drop(cursor.text("a list of texts")?),
                        _ => drop(Self::list(cursor, key, depth + 1)?),
                    }
                }
            }
            _ if count > KEPT => drop(cursor.take("a list", count * least)?),
            _ => {
                for _ in 0..count {
                    if let Self::Whole(number) = Self::scalar(cursor, key, kind)? {
                        numbers.push(number);
                    }
                }
            }
        }
        Ok(if numbers.len() == count {
            Self::Numbers(numbers)
        } else {
            Self::List
        })
    }

    /// The value as `general.alignment`.
    pub(super) fn alignment(&self) -> Result<usize, GgufFault> {
        /// A page; no tool writes more.
        const LIMIT: i128 = 4096;
        match *self {
            Self::Whole(bytes @ 1..=LIMIT) if bytes.count_ones() == 1 => Ok(bytes as usize),
            _ => Err(GgufFault::Alignment {
                found: self.text().unwrap_or_else(|| "a list".to_owned()),
            }),
        }
    }

    /// The value as the shape of `tensor`.
    pub(super) fn shape(&self, tensor: &str) -> Result<Vec<usize>, GgufFault> {
        let shape = match self {
            Self::Numbers(extents) => extents
                .iter()
                .map(|&extent| usize::try_from(extent).ok())
                .collect(),
            _ => None,
        };
        shape.ok_or_else(|| GgufFault::NotAShape {
            tensor: shown(tensor),
        })
    }

    /// A whole number.
    pub(super) fn whole(&self) -> Option<i128> {
        match *self {
            Self::Whole(number) => Some(number),
            _ => None,
        }
    }

    /// A text or a number as text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Whole(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Text(text) => Some((*text).to_owned()),
            Self::Numbers(_) | Self::List => None,
        }
    }
}
