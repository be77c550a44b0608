//! Every kernel against its naive f64 twin, at awkward sizes, on the device at hand.

#![allow(unreachable_pub, reason = "the modules of a test program are its own")]

mod harness;
mod reference;

#[path = "kernels/add.rs"]
mod add;
#[path = "kernels/attention.rs"]
mod attention;
#[path = "kernels/ceiling.rs"]
mod ceiling;
#[path = "kernels/channel_norm.rs"]
mod channel_norm;
#[path = "kernels/conv3d.rs"]
mod conv3d;
#[path = "kernels/embed.rs"]
mod embed;
#[path = "kernels/frames.rs"]
mod frames;
#[path = "kernels/latents.rs"]
mod latents;
#[path = "kernels/matmul.rs"]
mod matmul;
#[path = "kernels/norm.rs"]
mod norm;
#[path = "kernels/picture.rs"]
mod picture;
#[path = "kernels/solver.rs"]
mod solver;

fn main() {
    let mut trials = Vec::new();
    trials.extend(add::trials());
    trials.extend(attention::trials());
    trials.extend(ceiling::trials());
    trials.extend(channel_norm::trials());
    trials.extend(conv3d::trials());
    trials.extend(embed::trials());
    trials.extend(frames::trials());
    trials.extend(latents::trials());
    trials.extend(matmul::trials());
    trials.extend(norm::trials());
    trials.extend(picture::trials());
    trials.extend(solver::trials());
    harness::run(trials);
}
