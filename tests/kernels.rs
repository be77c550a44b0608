//! Every kernel against its naive f64 twin, at awkward sizes, on the device at hand.

mod harness;
mod reference;

#[path = "kernels/matmul.rs"]
mod matmul;

fn main() {
    let mut trials = Vec::new();
    trials.extend(matmul::trials());
    harness::run(trials);
}
