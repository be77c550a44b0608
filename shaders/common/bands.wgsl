// banded(number, across, down): the place (column block, row tile) of workgroup `number` in a grid
// of across x down that is walked in bands of BAND row tiles, down each before across.
//
// Neighbours then share a block of weights, which stays in the nearest cache, and the rows of a
// band stay in the next one until its last column: a large matrix is read once a band, not once a
// row tile. `number` must be less than across * down.

const BAND = 8u;

fn banded(number: u32, across: u32, down: u32) -> vec2<u32> {
    let band = number / (BAND * across);
    let inside = number % (BAND * across);
    let height = min(BAND, down - band * BAND);
    return vec2<u32>(inside / height, band * BAND + inside % height);
}
