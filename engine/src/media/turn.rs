//! Which way up a video is: phones store what their sensor sees, and say how to turn it.
//!
//! Source: ISO/IEC 14496-12, clauses 8.3.2 and 6.2.2.

use super::boxes::Mp4Box;

/// 1 in the matrix's fixed point.
const ONE: i32 = 1 << 16;

/// How many quarters of a turn clockwise the track is shown; `None` for a matrix that does anything
/// else, such as mirroring.
pub(super) fn quarter_turns(trak: &Mp4Box) -> Option<u8> {
    let Some(header) = trak.child(b"tkhd") else {
        return Some(0);
    };
    // Version 1 has three times of 8 bytes in place of 4.
    let matrix = match header.fields.first() {
        Some(1) => 52,
        _ => 40,
    };
    let number = |at: usize| {
        let bytes = header.fields.get(matrix + 4 * at..matrix + 4 * at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    };
    // x' = a x + c y, y' = b x + d y, y being downward.
    match [number(0)?, number(1)?, number(3)?, number(4)?] {
        [ONE, 0, 0, ONE] | [0, 0, 0, 0] => Some(0),
        [0, ONE, c, 0] if c == -ONE => Some(1),
        [a, 0, 0, d] if a == -ONE && d == -ONE => Some(2),
        [0, b, ONE, 0] if b == -ONE => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_so_many_quarters() {
        let turns = |version: u8, [a, b, c, d]: [i32; 4]| {
            let mut fields = vec![0; if version == 1 { 52 } else { 40 }];
            fields[0] = version;
            for number in [a, b, 0, c, d, 0, 0, 0, 1 << 30] {
                fields.extend(number.to_be_bytes());
            }
            quarter_turns(&Mp4Box {
                name: *b"trak",
                fields: Vec::new(),
                children: vec![Mp4Box::leaf(b"tkhd", fields)],
            })
        };
        for version in [0, 1] {
            assert_eq!(turns(version, [ONE, 0, 0, ONE]), Some(0));
            assert_eq!(turns(version, [0, ONE, -ONE, 0]), Some(1));
            assert_eq!(turns(version, [-ONE, 0, 0, -ONE]), Some(2));
            assert_eq!(turns(version, [0, -ONE, ONE, 0]), Some(3));
            assert_eq!(turns(version, [-ONE, 0, 0, ONE]), None);
        }
    }
}
