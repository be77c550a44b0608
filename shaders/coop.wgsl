// The types of cooperative matrices: f16 operands, f32 sums. A variant replaces this file with
// the device's edge length; the file exists so that an editor resolves the names.
//
//   CoopA [M, K]   CoopB [K, N]   CoopC [M, N]   all COOP_EDGE x COOP_EDGE
enable f16;
enable wgpu_cooperative_matrix;
const COOP_EDGE = 8u;
alias CoopA = coop_mat8x8<f16, A>;
alias CoopB = coop_mat8x8<f16, B>;
alias CoopC = coop_mat8x8<f32, C>;
