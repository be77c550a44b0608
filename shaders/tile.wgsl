// The numbers of a kernel's tile. A variant replaces this file with the values it names; these
// exist so that an editor resolves the names.
const TILE_ROWS = 8u;
const TILE_COLS = 1u;
const TILE_KEYS = 4u;
const TILE_DEPTH = 8u;
const TILE_QUERIES = 1u;
const TAPS = 1u;
// Of kernels on staged operands, whose LANES is a number of their tile too.
const SIDE = 1u;
const STAGE4 = 1u;
const BLOCKS = 2u;
const PARTS = 1u;
const DEPTH = 4u;
const KEYS = 64u;
const DEPTH4 = 16u;
const TEAM = 8u;
const TEAMS = 8u;
