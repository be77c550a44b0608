//! A machine for the pickles of `torch.save`, which builds dictionaries of tensors and runs nothing.
//!
//! It knows the opcodes that `torch.save` writes for state dicts and a short list of names that they
//! refer to; it refuses any other opcode or name. Objects are kept in one list and refer to each other
//! by index, so cycles and deep nesting are harmless.
//! (Python's `Lib/pickle.py`; `torch/_utils.py` for what the names do.)

use std::collections::HashMap;

use super::element::Element;
use super::object::{Id, Named, Object};
use super::tensor::{Storage, Tensor};
use crate::error::TorchFault;
use crate::weights::container::{RANK_LIMIT, shown};

/// The most objects of a pickle; a tensor takes about 12.
const OBJECT_LIMIT: usize = 1 << 18;

/// The contents of a pickle.
pub(super) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    /// The pickled object.
    pub(super) root: Id,
}

impl<'a> Pickle<'a> {
    /// Runs the machine over `bytes`.
    ///
    /// # Errors
    /// A [`TorchFault`] if this is not a pickle of `torch.save`, or holds more than tensors.
    pub(super) fn load(bytes: &'a [u8]) -> Result<Self, TorchFault> {
        let mut machine = Machine {
            bytes,
            at: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while !machine.step()? {}
        let root = machine.pop()?;
        Ok(Self {
            objects: machine.objects,
            root,
        })
    }

    pub(super) fn object(&self, id: Id) -> Option<&Object<'a>> {
        self.objects.get(id.0 as usize)
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One opcode; true at the last.
    fn step(&mut self) -> Result<bool, TorchFault> {
        let at = self.at;
        let [opcode] = self.array()?;
        match opcode {
            // PROTO: torch writes 2.
            0x80 => drop(self.array::<1>()?),
            b'.' => return Ok(true),
            b'(' => {
                self.marks.push(self.stack.len());
                self.check_count(self.marks.len())?;
            }
            b'N' | b'G' => {
                if opcode == b'G' {
                    self.array::<8>()?;
                }
                self.push(Object::Opaque)?;
            }
            0x88 | 0x89 => self.push(Object::Bool)?,
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push(Object::Int(number.into()))?;
            }
            b'K' => {
                let [number] = self.array()?;
                self.push(Object::Int(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push(Object::Int(number.into()))?;
            }
            0x8a => self.long()?,
            b'X' => {
                let length = u32::from_le_bytes(self.array()?);
                let text = self.take(length as usize)?;
                let text = std::str::from_utf8(text).map_err(|_| self.malformed("a text"))?;
                self.push(Object::Text(text))?;
            }
            b')' | b']' => self.push(Object::Sequence(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b't' | b'l' => {
                let items = self.since_mark()?;
                self.push(Object::Sequence(items))?;
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let items = self.pop_many(count)?;
                self.push(Object::Sequence(items))?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let [slot] = self.array()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.remember(slot)?;
            }
            b'h' => {
                let [slot] = self.array()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let named = Named::of(module, name).ok_or_else(|| TorchFault::Name {
                    name: shown(&format!("{module}.{name}")),
                })?;
                self.push(Object::Named(named))?;
            }
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            b'b' => {
                // The state of an OrderedDict is its modules' versions.
                self.pop()?;
                let built = self.stack.last().and_then(|&id| self.object(id));
                if !matches!(built, Some(Object::Dict(_))) {
                    return Err(self.malformed("an object's state"));
                }
            }
            opcode => return Err(TorchFault::Opcode { opcode, at }),
        }
        Ok(false)
    }

    /// An integer of up to eight bytes.
    fn long(&mut self) -> Result<(), TorchFault> {
        let [length] = self.array()?;
        let bytes = self.take(length.into())?;
        let mut wide = [0; 8];
        let Some(low) = wide.get_mut(..bytes.len()) else {
            return Err(self.malformed("an integer"));
        };
        low.copy_from_slice(bytes);
        if bytes.last().is_some_and(|&high| high >= 0x80) {
            wide[bytes.len()..].fill(0xff);
        }
        self.push(Object::Int(i64::from_le_bytes(wide)))
    }

    /// `('storage', class, key, device, length)` becomes a storage.
    fn storage(&mut self) -> Result<(), TorchFault> {
        let id = self.pop()?;
        let storage = match self.sequence(id) {
            Some(&[kind, class, key, _, len]) => {
                match [kind, class, key, len].map(|id| self.object(id)) {
                    [
                        Some(&Object::Text("storage")),
                        Some(&Object::Named(Named::Storage(element))),
                        Some(&Object::Text(key)),
                        Some(&Object::Int(len)),
                    ] => u64::try_from(len)
                        .ok()
                        .map(|len| Storage { key, element, len }),
                    _ => None,
                }
            }
            _ => None,
        };
        match storage {
            Some(storage) => self.push(Object::Storage(storage)),
            None => Err(self.malformed("a storage")),
        }
    }

    /// A call of one of the names that are known.
    fn reduce(&mut self) -> Result<(), TorchFault> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Some(&Object::Named(named)) = self.object(callee) else {
            return Err(self.malformed("a call"));
        };
        let arguments = self.sequence(arguments).unwrap_or(&[]);
        let made = match (named, arguments) {
            (Named::OrderedDict, []) => Some(Object::Dict(Vec::new())),
            // Copied, and so bounded: a long list could be asked for many times.
            (Named::Size, &[extents]) => self
                .sequence(extents)
                .filter(|extents| extents.len() <= RANK_LIMIT)
                .map(|extents| Object::Sequence(extents.to_vec())),
            (Named::Rebuild, &[storage, offset, shape, strides, _, _, ..]) => {
                self.tensor([storage, offset, shape, strides], None)
            }
            (Named::RebuildTyped, &[storage, offset, shape, strides, _, _, element, ..]) => {
                match self.object(element) {
                    Some(&Object::Named(Named::Type(element))) => {
                        self.tensor([storage, offset, shape, strides], Some(element))
                    }
                    _ => None,
                }
            }
            (Named::RebuildParameter, &[data, _, _]) => match self.object(data) {
                Some(Object::Tensor(tensor)) => Some(Object::Tensor(tensor.clone())),
                _ => None,
            },
            _ => None,
        };
        match made {
            Some(made) => self.push(made),
            None => Err(self.malformed("a call")),
        }
    }

    /// A tensor from the arguments of torch's functions that make them.
    fn tensor(
        &self,
        [storage, offset, shape, strides]: [Id; 4],
        element: Option<&'static Element>,
    ) -> Option<Object<'a>> {
        let &Object::Storage(storage) = self.object(storage)? else {
            return None;
        };
        let &Object::Int(offset) = self.object(offset)? else {
            return None;
        };
        let (shape, strides) = (self.extents(shape)?, self.extents(strides)?);
        let tensor = Box::new(Tensor {
            storage,
            element: element.unwrap_or(storage.element),
            offset: usize::try_from(offset).ok()?,
            shape,
            strides,
        });
        (tensor.shape.len() == tensor.strides.len()).then_some(Object::Tensor(tensor))
    }

    /// Up to eight numbers, none below zero.
    fn extents(&self, id: Id) -> Option<Vec<usize>> {
        let items = self
            .sequence(id)
            .filter(|items| items.len() <= RANK_LIMIT)?;
        let extent = |&id: &Id| match self.object(id)? {
            &Object::Int(extent) => usize::try_from(extent).ok(),
            _ => None,
        };
        items.iter().map(extent).collect()
    }

    fn object(&self, id: Id) -> Option<&Object<'a>> {
        self.objects.get(id.0 as usize)
    }

    fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.object(id)? {
            Object::Sequence(items) => Some(items),
            _ => None,
        }
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), TorchFault> {
        self.stack.push(Id(self.objects.len() as u32));
        self.objects.push(object);
        self.check_count(self.objects.len())
    }

    fn check_count(&self, count: usize) -> Result<(), TorchFault> {
        if count > OBJECT_LIMIT {
            return Err(TorchFault::TooMany {
                what: "objects",
                limit: OBJECT_LIMIT,
            });
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, TorchFault> {
        let mut popped = self.pop_many(1)?;
        popped.pop().ok_or_else(|| self.malformed("the stack"))
    }

    /// Pops the last `count` objects of the stack, none from before the last mark.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, TorchFault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(self.stack.split_off(height)),
            _ => Err(self.malformed("the stack")),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, TorchFault> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("a mark"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), TorchFault> {
        match self.target() {
            Some(Object::Sequence(list)) => list.extend(items),
            _ => return Err(self.malformed("a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), TorchFault> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.target() {
            Some(Object::Dict(dict)) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err(self.malformed("a dictionary")),
        }
        Ok(())
    }

    /// The object on top of the stack, to be changed.
    fn target(&mut self) -> Option<&mut Object<'a>> {
        let id = self.stack.last()?;
        self.objects.get_mut(id.0 as usize)
    }

    fn remember(&mut self, slot: u32) -> Result<(), TorchFault> {
        let id = self.stack.last().copied();
        let id = id.ok_or_else(|| self.malformed("the stack"))?;
        self.memo.insert(slot, id);
        self.check_count(self.memo.len())
    }

    fn recall(&mut self, slot: u32) -> Result<(), TorchFault> {
        let id = self.memo.get(&slot).copied();
        let id = id.ok_or_else(|| self.malformed("a reference"))?;
        self.stack.push(id);
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], TorchFault> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(TorchFault::Ends { at: self.at })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TorchFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Text up to the end of the line.
    fn line(&mut self) -> Result<&'a str, TorchFault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n');
        let line = self.take(length.ok_or(TorchFault::Ends { at: self.at })?)?;
        self.take(1)?;
        std::str::from_utf8(line).map_err(|_| self.malformed("a name"))
    }

    fn malformed(&self, what: &'static str) -> TorchFault {
        TorchFault::Malformed { what, at: self.at }
    }
}
