//! The twins of `rgba8.wgsl` and `yuv420.wgsl`: sums in f64, from the standard's own numbers.

/// The pixel of the part at a line and a column; positions beyond the part repeat its edge.
fn pixel(rgb: &[u8], made: [usize; 2], size: [usize; 2], line: usize, column: usize) -> [f64; 3] {
    let (top, left) = ((made[1] - size[1]) / 2, (made[0] - size[0]) / 2);
    let (line, column) = (line.min(size[1] - 1) + top, column.min(size[0] - 1) + left);
    let at = (line * made[0] + column) * 3;
    [0, 1, 2].map(|c| f64::from(rgb[at + c]))
}

/// [h, w, 4], alpha 255.
pub fn rgba8(rgb: &[u8], made: [usize; 2], size: [usize; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in 0..size[1] {
        for column in 0..size[0] {
            out.extend(pixel(rgb, made, size, line, column).map(|value| value as u8));
            out.push(255);
        }
    }
    out
}

/// Weights with 16 bits of fraction; their rounding is part of the specification.
fn weighed(weights: [f64; 3], colour: [f64; 3]) -> f64 {
    let scaled = weights.map(|weight| (weight * 65_536.0).round());
    scaled.iter().zip(colour).map(|(w, c)| w * c).sum::<f64>() / 65_536.0
}

/// Y [h', w'], Cb and Cr [h' / 2, w' / 2] (ITU-R BT.709-6, sections 3 and 4; chroma samples as in
/// ITU-T H.264, figure E-1, type 0).
pub fn yuv420(rgb: &[u8], made: [usize; 2], size: [usize; 2]) -> [Vec<u8>; 3] {
    let at = |line, column| pixel(rgb, made, size, line, column);
    let [width, height] = size.map(|side| side.next_multiple_of(2));
    let luma = [0.2126, 0.7152, 0.0722].map(|w| w * 219.0 / 255.0);
    let mut y = Vec::new();
    for line in 0..height {
        for column in 0..width {
            y.push((16.0 + weighed(luma, at(line, column)) + 0.5).floor() as u8);
        }
    }
    // The middle weight of each row makes it sum to zero, so that grey stays grey.
    let blue = [-0.2126, -0.7152, 1.0 - 0.0722].map(|w| w * 224.0 / 255.0 / 1.8556);
    let red = [1.0 - 0.2126, -0.7152, -0.0722].map(|w| w * 224.0 / 255.0 / 1.5748);
    let chroma = |weights: [f64; 3]| {
        let mut plane = Vec::new();
        for line in (0..height).step_by(2) {
            for column in (0..width).step_by(2) {
                let mut mean = [0.0; 3];
                for (i, j, share) in [(0, -1, 1.0), (0, 0, 2.0), (0, 1, 1.0)]
                    .into_iter()
                    .flat_map(|(_, j, share)| [(0, j, share), (1, j, share)])
                {
                    let column = (column as isize + j).max(0) as usize;
                    let colour = at(line + i, column);
                    for c in 0..3 {
                        mean[c] += share * colour[c] / 8.0;
                    }
                }
                let value = 128.0 + weighed(weights, mean);
                plane.push((value + 0.5).floor().clamp(0.0, 255.0) as u8);
            }
        }
        plane
    };
    [y, chroma(blue), chroma(red)]
}
