//! Pixels as the first convolution sees them.

/// Lines of RGB as squares of `side` pixels a position, each with the channels (colour, column, line):
/// diffusers' `patchify`.
pub(super) fn patchify(lines: &[f32], width: usize, side: usize, into: &mut Vec<f32>) {
    let line = width * 3;
    for band in lines.chunks_exact(side * line) {
        for column in (0..width).step_by(side) {
            for colour in 0..3 {
                for j in 0..side {
                    for i in 0..side {
                        into.push(band[i * line + (column + j) * 3 + colour]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_goes_along_its_columns() {
        // Two lines of two pixels: the value of colour c at line i and column j is 100 c + 10 i + j.
        let lines: Vec<f32> = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .iter()
            .flat_map(|(i, j)| (0..3).map(move |c| (100 * c + 10 * i + j) as f32))
            .collect();
        let mut patches = Vec::new();
        patchify(&lines, 2, 2, &mut patches);
        let expected = [
            0.0, 10.0, 1.0, 11.0, 100.0, 110.0, 101.0, 111.0, 200.0, 210.0, 201.0, 211.0,
        ];
        assert_eq!(patches, expected);
        patches.clear();
        patchify(&lines, 2, 1, &mut patches);
        assert_eq!(patches, lines);
    }
}
