// y = affine((x - centre) / sqrt(mean((x - centre)^2) + eps)), over each row
//
//   x [M, C] f32      y [M, C] f32 or f16      C a multiple of 4
//
// CENTRED = 1 is a layer norm: the centre is the row's mean, and the root is that of the
// population's variance. The variance is computed after the mean, because mean(x^2) - mean^2 would cancel. CENTRED = 0 is
// an RMS norm: the centre is 0.
//
// One workgroup computes one row: its invocations take columns in turn, so that they read one
// contiguous piece, and add their parts in the order of the lanes.
//
//   workgroup: LANES; grid: rows folded over x and y

import package::common::normed::{params};
import package::reduce::{reduce_sum, LANES};
import package::affine::{affine, affine_cols4};
import package::output::{Output4, pack_output4};

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [M, C/4]
@group(0) @binding(2) var<storage, read_write> y: array<Output4>; // [M, C/4]

override CENTRED: u32 = 1u;

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * grid.x;
    if row >= params.rows {
        return;
    }
    affine_cols4 = params.cols4;
    let start = row * params.cols4;
    let count = f32(params.cols4 * 4u);

    var centre = 0.0;
    if CENTRED == 1u {
        var part = vec4<f32>(0.0);
        for (var c = lane; c < params.cols4; c += LANES) {
            part += x[start + c];
        }
        centre = reduce_sum(lane, part.x + part.y + part.z + part.w) / count;
    }

    var squares = 0.0;
    for (var c = lane; c < params.cols4; c += LANES) {
        let centred = x[start + c] - centre;
        squares += dot(centred, centred);
    }
    let scale = 1.0 / sqrt(reduce_sum(lane, squares) / count + params.eps);

    for (var c = lane; c < params.cols4; c += LANES) {
        y[start + c] = pack_output4(affine(row, c, (x[start + c] - centre) * scale));
    }
}
