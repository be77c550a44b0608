//! A model part's tensors written in other element types, one at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::encode::encode;
use super::{Checkpoint, GgufHeader, GgufValue, SafetensorsHeader, TensorView};
use crate::error::WeightsError;
use crate::tensor::DType;

/// The most dimensions of a GGUF tensor; tensors with more are folded, and their shape is kept apart.
const GGUF_RANK: usize = 4;

/// How a part is written.
#[derive(Clone, Copy, Debug)]
pub enum Written {
    /// safetensors, in shards of about this many bytes with an index if there are more.
    Safetensors {
        /// Bytes.
        shard: u64,
    },
    /// One GGUF file, `general.architecture` being this.
    Gguf {
        /// `wan` say.
        architecture: &'static str,
        /// The name of a tensor in the file.
        named: fn(&str) -> String,
    },
}

/// Receives the bytes written since the last call; returns whether to continue.
pub type Step<'s> = &'s mut dyn FnMut(u64) -> bool;

/// A tensor to be written.
struct Entry<'c> {
    name: &'c str,
    dtype: DType,
    /// How many scales follow it.
    scales: usize,
    bytes: u64,
}

impl Checkpoint {
    /// Bytes of the tensors in the types that `target` gives them by name, shape and present type.
    ///
    /// # Errors
    /// A tensor of a type that Kinora does not have.
    pub fn bytes_as(
        &self,
        target: &dyn Fn(&str, &[usize], DType) -> DType,
    ) -> Result<u64, WeightsError> {
        Ok(self.entries(target)?.iter().map(|e| e.bytes).sum())
    }

    fn entries(
        &self,
        target: &dyn Fn(&str, &[usize], DType) -> DType,
    ) -> Result<Vec<Entry<'_>>, WeightsError> {
        let entry = |name| {
            let view = self.get_any(name)?;
            let row = view.shape.last().copied().unwrap_or(1);
            let wanted = target(name, view.shape, view.dtype);
            let dtype = if row.is_multiple_of(wanted.block()) {
                wanted
            } else {
                view.dtype
            };
            let scales = match dtype.format().scaled {
                Some(_) if dtype == view.dtype => view.scales.len(),
                Some(_) => 1,
                None => 0,
            };
            let bytes = (dtype.bytes(view.len()) + 4 * scales) as u64;
            Ok(Entry {
                name,
                dtype,
                scales,
                bytes,
            })
        };
        self.names().map(entry).collect()
    }

    /// Writes the tensors as `folder/STEM.safetensors`, shards and an index, or `folder/STEM.gguf`.
    /// 8-bit floats get their scales beside them as ComfyUI's scaled files have them.
    ///
    /// # Errors
    /// [`WeightsError::Write`], of kind `Interrupted` if `step` returned false;
    /// [`WeightsError::Gguf`] for types that GGUF does not have.
    pub fn write_as(
        &self,
        (folder, stem): (&Path, &str),
        written: Written,
        target: &dyn Fn(&str, &[usize], DType) -> DType,
        step: Step<'_>,
    ) -> Result<(), WeightsError> {
        let entries = self.entries(target)?;
        match written {
            Written::Gguf {
                architecture,
                named,
            } => {
                let path = folder.join(format!("{stem}.gguf"));
                self.write_gguf(&path, (architecture, named), &entries, step)
            }
            Written::Safetensors { shard } => {
                self.write_shards((folder, stem), shard, &entries, step)
            }
        }
    }

    /// Converts the tensor to the type of its entry.
    fn converted(&self, entry: &Entry<'_>) -> Result<TensorView<'_>, WeightsError> {
        let view = self.get_any(entry.name)?;
        if view.dtype == entry.dtype {
            return Ok(view);
        }
        Ok(view.quantized(entry.dtype).unwrap_or(view))
    }

    fn write_gguf(
        &self,
        path: &Path,
        (architecture, named): (&str, fn(&str) -> String),
        entries: &[Entry<'_>],
        step: Step<'_>,
    ) -> Result<(), WeightsError> {
        let mut header = GgufHeader::new(architecture);
        header.key("general.quantization_version".to_owned(), GgufValue::U32(2));
        for entry in entries {
            let shape = self.shape_of(entry.name).unwrap_or_default();
            let name = named(entry.name);
            if shape.len() <= GGUF_RANK {
                header.tensor(&name, entry.dtype, shape)?;
                continue;
            }
            let (first, rest) = shape.split_at(1);
            let folded = [first.first().copied().unwrap_or(1), rest.iter().product()];
            let original = shape.iter().map(|&extent| extent as i32).collect();
            let key = format!("comfy.gguf.orig_shape.{name}");
            header.key(key, GgufValue::Numbers(original));
            header.tensor(&name, entry.dtype, &folded)?;
        }
        let mut out = Out::create(path)?;
        out.put(&header.to_bytes())?;
        for entry in entries {
            let view = self.converted(entry)?;
            out.put(&view.bytes)?;
            out.put(&[0; GgufHeader::ALIGNMENT][..GgufHeader::padding(view.bytes.len())])?;
            out.stepped(entry.bytes, step)?;
        }
        out.finish()
    }

    fn write_shards(
        &self,
        (folder, stem): (&Path, &str),
        limit: u64,
        entries: &[Entry<'_>],
        step: Step<'_>,
    ) -> Result<(), WeightsError> {
        let mut shards: Vec<&[Entry<'_>]> = Vec::new();
        let (mut from, mut bytes) = (0, 0);
        for (at, entry) in entries.iter().enumerate() {
            if at > from && bytes + entry.bytes > limit {
                shards.push(&entries[from..at]);
                (from, bytes) = (at, 0);
            }
            bytes += entry.bytes;
        }
        shards.push(&entries[from..]);
        let count = shards.len();
        let name = |number: usize| match count {
            1 => format!("{stem}.safetensors"),
            _ => format!("{stem}-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let mut map = BTreeMap::new();
        for (number, shard) in shards.iter().enumerate() {
            let file = name(number);
            let tensors = self.write_safetensors(&folder.join(&file), shard, number == 0, step)?;
            map.extend(tensors.into_iter().map(|tensor| (tensor, file.clone())));
        }
        if count > 1 {
            let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
            let index = json!({"metadata": {"total_size": total}, "weight_map": map});
            let mut out = Out::create(&folder.join(format!("{stem}.safetensors.index.json")))?;
            out.put(format!("{index:#}\n").as_bytes())?;
            out.finish()?;
        }
        Ok(())
    }

    /// Writes one file; returns the names in it.
    fn write_safetensors(
        &self,
        path: &Path,
        entries: &[Entry<'_>],
        first: bool,
        step: Step<'_>,
    ) -> Result<Vec<String>, WeightsError> {
        let text = [("format".to_owned(), "pt".to_owned())];
        let mut header = SafetensorsHeader::new(&text.into());
        let mut names = Vec::new();
        let mut add = |name: String, dtype: DType, shape: &[usize]| {
            header.tensor(&name, dtype, shape)?;
            names.push(name);
            Ok::<_, WeightsError>(())
        };
        for entry in entries {
            let shape = self.shape_of(entry.name).unwrap_or_default();
            add(entry.name.to_owned(), entry.dtype, shape)?;
            let of_scales: &[usize] = match entry.scales {
                0 => continue,
                1 => &[],
                _ => &[entry.scales],
            };
            let layer = entry.name.strip_suffix("weight").unwrap_or(entry.name);
            add(format!("{layer}scale_weight"), DType::F32, of_scales)?;
        }
        if first && entries.iter().any(|entry| entry.scales > 0) {
            add("scaled_fp8".to_owned(), DType::F8E4M3, &[0])?;
        }
        let mut out = Out::create(path)?;
        out.put(&header.to_bytes())?;
        for entry in entries {
            let view = self.converted(entry)?;
            out.put(&view.bytes)?;
            if entry.scales > 0 {
                out.put(&encode(DType::F32, 1.0, &view.scales))?;
            }
            out.stepped(entry.bytes, step)?;
        }
        out.finish()?;
        Ok(names)
    }
}

/// A file that is being written, for messages.
struct Out {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Out {
    fn create(path: &Path) -> Result<Self, WeightsError> {
        let file = File::create_new(path).map_err(|source| failed(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WeightsError> {
        let put = self.file.write_all(bytes);
        put.map_err(|source| failed(&self.path, source))
    }

    /// Tells how many bytes more were written.
    fn stepped(&self, bytes: u64, step: Step<'_>) -> Result<(), WeightsError> {
        if step(bytes) {
            Ok(())
        } else {
            Err(failed(&self.path, io::ErrorKind::Interrupted.into()))
        }
    }

    /// Waits until all is on the disk.
    fn finish(mut self) -> Result<(), WeightsError> {
        let flushed = self.file.flush();
        let synced = flushed.and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: io::Error) -> WeightsError {
    WeightsError::Write {
        path: path.to_owned(),
        source,
    }
}
