//! Kernels compiled before their turn, while the device is busy with the part before them.

use super::engine::Engine;
use super::request::Settings;
use crate::error::Error;
use crate::gpu::Cancel;
use crate::models::vae;
use crate::models::wan_transformer::TransformerPasses;

impl Engine {
    /// Runs `work` and meanwhile, on a thread of its own, compiles what a run needs later: the
    /// transformer's kernels, then the decoder's. What cannot be compiled now is told when its turn
    /// comes.
    pub(super) fn compiling_ahead<T>(&self, settings: &Settings, work: impl FnOnce() -> T) -> T {
        let stop = Cancel::new();
        std::thread::scope(|scope| {
            let ahead = || {
                let _ = self.compile_transformer(settings, &stop);
                let _ = self.compile_decoder(settings, &stop);
            };
            // Without a thread each part compiles its own in its turn.
            let thread = std::thread::Builder::new()
                .name("kinora kernels".to_owned())
                .spawn_scoped(scope, ahead);
            let done = work();
            stop.cancel();
            // Joined here, its panic stays its own: what was worked out is not lost with it.
            if let Ok(thread) = thread {
                let _ = thread.join();
            }
            done
        })
    }

    fn compile_transformer(&self, settings: &Settings, stop: &Cancel) -> Result<(), Error> {
        let ids = self.prompts(settings, &self.schedule(settings)?)?;
        let prompts: Vec<usize> = ids.iter().map(Vec::len).collect();
        let shape = self.planned(settings, &prompts).transformer_shape();
        let checkpoint = self.folder.checkpoint("transformer")?;
        if stop.is_cancelled() {
            return Ok(());
        }
        let caps = self.gpu.caps();
        let passes = TransformerPasses::record(caps, &self.config.transformer, &checkpoint, shape)?;
        self.gpu.compile_ahead(&passes.recordings(), stop)
    }

    fn compile_decoder(&self, settings: &Settings, stop: &Cancel) -> Result<(), Error> {
        if stop.is_cancelled() {
            return Ok(());
        }
        let Some(network) = self.decoder.open(&self.folder, &self.config)? else {
            return Ok(());
        };
        let [_, c, t, h, w] = settings.latent_shape(&self.config);
        vae::compile_ahead(
            &self.gpu,
            network.architecture(&self.config),
            &network.checkpoint,
            [c, t, h, w],
            &self.decode_options(),
            stop,
        )
    }
}
