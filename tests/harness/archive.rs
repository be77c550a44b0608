//! Zip archives, as `torch.save` writes them and as it does not.

/// A zip archive of these files, uncompressed, or said to be compressed by `method`.
pub fn archive(files: &[(&str, &[u8])], method: u16) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (path, data) in files {
        let offset = bytes.len() as u32;
        // Both headers: version, flags, method, time, date, checksum, sizes, length of the path.
        let mut common = [0, 0, method, 0, 0, 0, 0].map(u16::to_le_bytes).concat();
        common.extend([data.len() as u32; 2].map(u32::to_le_bytes).concat());
        common.extend([path.len() as u16, 0].map(u16::to_le_bytes).concat());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(path.as_bytes());
        bytes.extend(*data);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
    }
    let (start, size) = (bytes.len() as u32, directory.len() as u32);
    bytes.extend(directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([files.len() as u16; 2].map(u16::to_le_bytes).concat());
    bytes.extend([size, start].map(u32::to_le_bytes).concat());
    bytes.extend([0; 2]);
    bytes
}
