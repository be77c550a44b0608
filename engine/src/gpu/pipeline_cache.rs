//! Compiled kernels on disk, on drivers that hand them out.
//!
//! [`GpuOptions::cache`](super::GpuOptions::cache) holds one file per device and driver. A file that
//! is damaged, or that another device or driver wrote, is ignored and its kernels are compiled again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

/// A driver's cache and its file.
#[derive(Debug)]
pub(super) struct PipelineCache {
    raw: wgpu::PipelineCache,
    file: PathBuf,
    changed: AtomicBool,
}

impl PipelineCache {
    /// Loads the device's cache from `folder`, if the device was opened with the feature for it.
    pub(super) fn open(
        folder: &Path,
        device: &wgpu::Device,
        info: &wgpu::AdapterInfo,
    ) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let file = folder.join(name(info));
        let kept = std::fs::read(&file).ok();
        let data = kept.as_deref().and_then(unseal);
        #[expect(
            unsafe_code,
            reason = "a driver may believe what a cache holds; it gets only what it wrote"
        )]
        // SAFETY: the hash shows that `get_data` returned these bytes for this device and driver.
        // With `fallback`, wgpu starts empty if its own header does not match.
        let raw = unsafe {
            device.create_pipeline_cache(&wgpu::PipelineCacheDescriptor {
                label: Some("kinora"),
                data,
                fallback: true,
            })
        };
        Some(Self {
            raw,
            file,
            changed: AtomicBool::new(false),
        })
    }

    pub(super) fn raw(&self) -> &wgpu::PipelineCache {
        &self.raw
    }

    /// Notes that a pipeline was created which the file may lack.
    pub(super) fn grown(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Replaces the file atomically if pipelines were added. A failure costs only a compilation next
    /// time.
    pub(super) fn keep(&self) {
        if self.changed.swap(false, Ordering::Relaxed)
            && let Some(data) = self.raw.get_data()
        {
            let _ = write(&self.file, &data);
        }
    }
}

/// A file name that is unique to the device and driver version.
fn name(info: &wgpu::AdapterInfo) -> String {
    let parts = [&info.name, &info.driver, &info.driver_info];
    let mut hash = Sha256::new();
    hash.update([info.vendor.to_le_bytes(), info.device.to_le_bytes()].concat());
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("pipelines-{:.16x}.bin", hash.finalize())
}

/// The data after the hash at the head of the file, if the hash matches.
fn unseal(file: &[u8]) -> Option<&[u8]> {
    let (hash, data) = file.split_first_chunk::<32>()?;
    let good = hash[..] == Sha256::digest(data)[..];
    good.then_some(data)
}

fn write(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&Sha256::digest(data))?;
    file.write_all(data)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/pipelines.bin");
        write(&path, b"compiled").unwrap();
        write(&path, b"compiled again").unwrap();
        let kept = std::fs::read(&path).unwrap();
        assert_eq!(unseal(&kept), Some(&b"compiled again"[..]));
        let mut damaged = kept.clone();
        damaged[40] ^= 1;
        assert_eq!(unseal(&damaged), None);
        assert_eq!(unseal(&kept[..kept.len() - 1]), None);
        assert_eq!(unseal(&[]), None);
        let all: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(all.len(), 1, "nothing is left behind");
    }
}
