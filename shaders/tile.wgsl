// The numbers of a kernel's tile. A variant replaces this file by the values it names; these
// stand here so that an editor resolves the names.
const TILE_ROWS = 8u;
const TILE_COLS = 1u;
const TILE_VALUES = 8u;
const TILE_KEYS = 8u;
