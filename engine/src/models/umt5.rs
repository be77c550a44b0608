//! The text encoder: the encoder half of UMT5.
//!
//! Reference: `UMT5EncoderModel` of transformers. Chung et al. 2023, "UniMax"; the architecture is
//! T5 1.1 (Raffel et al. 2020, Shazeer 2020) with a table of relative positions in every layer.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::alignment::check_multiples_of_four;
use super::config::TextEncoderConfig;
use super::signature::Signatures;
use crate::error::{Error, ModelError};
use crate::gpu::{
    Bound, Buffer, Cancel, Gpu, Plan, Stream, StreamWindow, StreamedTensor, WeightBuffers,
    WeightStream, slot_bytes,
};
use crate::nn::{After, Linear, RmsNorm, Weights};
use crate::ops::attention::{AttentionShape, Bias, attention};
use crate::ops::matmul::{Epilogue, matmul};
use crate::record::{Caps, Footprint, Precision, Recorder, Recording, Tensor, TensorInfo};
use crate::tensor::DType;
use crate::weights::Checkpoint;

const MODEL: &str = "UMT5EncoderModel";
/// Where checkpoints keep the token embedding; both names may be there, for one table.
const EMBEDDING: [&str; 2] = ["shared.weight", "encoder.embed_tokens.weight"];

/// Encodes prompts. Weights are read from the mapped checkpoint a layer at a time, for all prompts
/// of a call together, and pass through the device: a text encoder of 11 GB needs a few hundred
/// megabytes there.
#[derive(Debug)]
pub struct TextEncoder {
    gpu: Gpu,
    passes: Arc<TextPasses>,
    window: Option<StreamWindow>,
}

/// The text encoder's passes for prompts of given lengths, as data.
#[derive(Debug)]
pub struct TextPasses {
    config: TextEncoderConfig,
    checkpoint: Arc<Checkpoint>,
    signatures: Signatures,
    /// By the tokens of a prompt: a recording for each kind of layer, then the final norm's.
    recordings: BTreeMap<usize, Vec<Recording>>,
    sets: Vec<Vec<StreamedTensor>>,
}

/// The configuration and checkpoint that layers are recorded from.
struct Layers<'m> {
    caps: &'m Caps,
    config: &'m TextEncoderConfig,
    checkpoint: &'m Checkpoint,
}

/// One prompt on its way through the layers.
struct Prompt {
    plan: Plan,
    length: usize,
    buffers: BTreeMap<&'static str, Buffer>,
    values: usize,
}

impl Prompt {
    /// A pass bound to the prompt's buffers and to weights by their recorded names.
    fn bind(&self, pass: usize, weights: &dyn Fn(&str) -> Option<Buffer>) -> Result<Bound, Error> {
        self.plan.bind(pass, &|info: &TensorInfo| {
            let own = self.buffers.get(info.name.as_str()).cloned();
            own.or_else(|| weights(&info.name))
        })
    }
}

impl TextPasses {
    /// Records the passes for prompts of these lengths, and checks every tensor of the checkpoint
    /// by name and shape.
    ///
    /// # Errors
    /// Sizes that the kernels cannot take; tensors that are missing, of another shape or unknown;
    /// [`ModelError::NoTokens`] for a length of zero.
    pub fn record(
        caps: &Caps,
        config: &TextEncoderConfig,
        checkpoint: &Arc<Checkpoint>,
        lengths: &[usize],
    ) -> Result<Self, Error> {
        let fields = [("d_model", config.d_model), ("d_kv", config.d_kv)];
        check_multiples_of_four(MODEL, &fields)?;
        let signatures = Signatures::new(checkpoint, "encoder.block", config.num_layers);
        // Its feed-forward overflows f16 in the released weights.
        let caps = Precision::F32.limit(caps);
        let layers = Layers {
            caps: &caps,
            config,
            checkpoint,
        };
        let mut recordings = BTreeMap::new();
        for &length in lengths {
            if length == 0 {
                return Err(ModelError::NoTokens.into());
            }
            if let Entry::Vacant(new) = recordings.entry(length) {
                new.insert(layers.record(&signatures, length)?);
            }
        }
        let any = recordings.values().next().map_or(&[][..], Vec::as_slice);
        for (kind, recording) in any.iter().take(signatures.first.len()).enumerate() {
            for other in signatures.members(kind) {
                for (_, info, _) in recording.weights() {
                    let name = signatures.rename(kind, other, &info.name);
                    checkpoint.type_of(&name, &info.shape)?;
                }
            }
        }
        for name in EMBEDDING
            .into_iter()
            .filter(|name| checkpoint.contains(name))
        {
            checkpoint.type_of(name, &[config.vocab_size, config.d_model])?;
        }
        checkpoint.check_all_read(&[])?;
        let sets = signatures.sets(&[any]);
        Ok(Self {
            config: config.clone(),
            checkpoint: checkpoint.clone(),
            signatures,
            recordings,
            sets,
        })
    }

    /// Bytes of device memory for the given lengths, each a prompt, encoded together: (weights,
    /// everything else).
    pub fn memory(&self, lengths: &[usize], window: StreamWindow) -> (u64, u64) {
        let mut beside = 0;
        let mut end = 0;
        for recordings in lengths.iter().filter_map(|n| self.recordings.get(n)) {
            let all = Footprint::of(recordings);
            beside += all.total() - all.weights;
            end = Footprint::of(recordings.last()).weights;
        }
        (window.bytes(self.set_bytes()) + end, beside)
    }

    /// Bytes of device memory of a layer's weights.
    pub fn set_bytes(&self) -> u64 {
        slot_bytes(&self.sets)
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.config.num_layers
    }
}

impl Layers<'_> {
    /// A recording for each kind of layer, then the final norm's.
    fn record(&self, signatures: &Signatures, length: usize) -> Result<Vec<Recording>, Error> {
        let kinds = signatures.first.iter();
        let mut recordings = kinds
            .map(|&layer| self.record_layer(layer, length))
            .collect::<Result<Vec<_>, Error>>()?;
        recordings.push(self.record_end(length)?);
        Ok(recordings)
    }

    /// A layer on the state `hidden` [L, d_model].
    fn record_layer(&self, layer: usize, length: usize) -> Result<Recording, Error> {
        let config = self.config;
        let mut rec = Recorder::new(self.caps);
        let hidden = rec.state("hidden", [length, config.d_model], DType::F32)?;
        let bucket = rec.input("buckets", [2 * length - 1], DType::U32)?;
        let weights = Weights::new(self.checkpoint)
            .at("encoder.block")
            .at(&layer.to_string());
        let attended = self.record_attention(&mut rec, &weights.at("layer.0"), &hidden, &bucket)?;
        self.record_feed_forward(&mut rec, &weights.at("layer.1"), &attended, &hidden)?;
        Ok(rec.finish())
    }

    /// `hidden + o(attention(norm(hidden)))`
    fn record_attention(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        hidden: &Tensor,
        bucket: &Tensor,
    ) -> Result<Tensor, Error> {
        let config = self.config;
        let (d, inner) = (config.d_model, config.inner_dim());
        let norm = RmsNorm::new(
            rec,
            &weights.at("layer_norm"),
            d,
            config.layer_norm_epsilon as f32,
        )?;
        let normed = norm.forward(rec, hidden, None)?;
        let weights = weights.at("SelfAttention");
        let mut project = |name: &str| -> Result<Tensor, Error> {
            let linear = Linear::without_bias(rec, &weights.at(name), d, inner)?;
            Ok(linear.forward(rec, &normed, After::Nothing, None)?)
        };
        let [q, k, v] = [project("q")?, project("k")?, project("v")?];
        let shape = [config.relative_attention_num_buckets, config.num_heads];
        let table = weights.vector(rec, "relative_attention_bias.weight", shape)?;
        // T5 leaves the scores as they are; its initialisation has the factor in it.
        let heads = AttentionShape {
            heads: config.num_heads,
            head_size: config.d_kv,
            scale: 1.0,
        };
        let bias = Bias::Table {
            table: &table,
            bucket,
        };
        let mixed = attention(rec, (&q).into(), (&k).into(), (&v).into(), heads, bias)?;
        let out = Linear::without_bias(rec, &weights.at("o"), inner, d)?;
        Ok(matmul(
            rec,
            &mixed,
            &out.weight,
            Epilogue::Residual(hidden),
            None,
        )?)
    }

    /// `x + wo(gelu(wi_0(norm(x))) wi_1(norm(x)))`, into `hidden`
    fn record_feed_forward(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        x: &Tensor,
        hidden: &Tensor,
    ) -> Result<(), Error> {
        let config = self.config;
        let (d, inner) = (config.d_model, config.d_ff);
        let norm = RmsNorm::new(
            rec,
            &weights.at("layer_norm"),
            d,
            config.layer_norm_epsilon as f32,
        )?;
        let normed = norm.forward(rec, x, None)?;
        let weights = weights.at("DenseReluDense");
        let gate = Linear::without_bias(rec, &weights.at("wi_0"), d, inner)?;
        let up = Linear::without_bias(rec, &weights.at("wi_1"), d, inner)?;
        let down = Linear::without_bias(rec, &weights.at("wo"), inner, d)?;
        let width = [x.shape.rows(), inner.next_multiple_of(4)];
        let [raised, gated] = [(); 2].map(|()| rec.intermediate("feed forward", width, DType::F32));
        matmul(rec, &normed, &up.weight, Epilogue::None, Some(&raised))?;
        matmul(
            rec,
            &normed,
            &gate.weight,
            Epilogue::GeluMul(&raised),
            Some(&gated),
        )?;
        matmul(
            rec,
            &gated,
            &down.weight,
            Epilogue::Residual(x),
            Some(hidden),
        )?;
        Ok(())
    }

    /// The final norm of `hidden`, into the output `embeds` [L, d_model].
    fn record_end(&self, length: usize) -> Result<Recording, Error> {
        let d = self.config.d_model;
        let mut rec = Recorder::new(self.caps);
        let hidden = rec.state("hidden", [length, d], DType::F32)?;
        let weights = Weights::new(self.checkpoint).at("encoder.final_layer_norm");
        let norm = RmsNorm::new(&mut rec, &weights, d, self.config.layer_norm_epsilon as f32)?;
        let normed = norm.forward(&mut rec, &hidden, None)?;
        let embeds = rec.output("embeds", [length, d], DType::F32)?;
        rec.copy((&normed, 0), (&embeds, 0), embeds.bytes());
        Ok(rec.finish())
    }
}

impl TextEncoder {
    /// An encoder that runs recorded passes; uploads nothing yet.
    pub fn new(gpu: &Gpu, passes: Arc<TextPasses>) -> Self {
        Self {
            gpu: gpu.clone(),
            passes,
            window: None,
        }
    }

    /// Sets the device memory of the streamed weights; the default is the fastest window.
    #[must_use]
    pub fn with_window(self, window: StreamWindow) -> Self {
        Self {
            window: Some(window),
            ..self
        }
    }

    /// Encodes token ids without padding. Returns for each prompt of n ids its [n, d_model] embeddings
    /// after the final norm.
    ///
    /// Padding is not computed, because real tokens do not attend to it. `each_layer` receives the
    /// number of finished layers.
    ///
    /// # Errors
    /// An empty prompt or an id beyond the embedding, no room on the device, or cancelled.
    pub fn encode(
        &self,
        prompts: &[&[u32]],
        cancel: &Cancel,
        each_layer: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<f32>>, Error> {
        let ready = prompts
            .iter()
            .map(|ids| self.prepare(ids))
            .collect::<Result<Vec<_>, _>>()?;
        let passes = &*self.passes;
        let [fastest, ..] = StreamWindow::choices(passes.set_bytes());
        let window = self.window.unwrap_or(fastest);
        let checkpoint = passes.checkpoint.clone();
        let weight_stream =
            WeightStream::new(&self.gpu, checkpoint, passes.sets.clone(), window, false)?;
        let kinds = passes.signatures.first.len();
        let mut bound = Vec::new();
        for slot in weight_stream.slots() {
            for kind in 0..kinds {
                let own = |name: &str| slot.get(passes.signatures.key(kind, name)?).cloned();
                let prompts = ready.iter().map(|prompt| prompt.bind(kind, &own));
                bound.push(prompts.collect::<Result<Vec<_>, _>>()?);
            }
        }
        let mut stream = Stream::new(&self.gpu, cancel);
        for (layer, &kind) in passes.signatures.of.iter().enumerate() {
            let slot = weight_stream.acquire(&mut stream, layer)?;
            for prompt in &bound[slot * kinds + kind] {
                stream.run(prompt)?;
            }
            weight_stream.prefetch()?;
            each_layer(layer + 1);
        }
        let mut end = WeightBuffers::new();
        for prompt in &ready {
            if let Some(recording) = self.recordings(prompt.length)?.get(kinds) {
                end.load(&self.gpu, &passes.checkpoint, recording, &str::to_owned)?;
            }
            stream.run(&prompt.bind(kinds, &|name| end.get(name))?)?;
        }
        stream.finish()?;
        // Reading back takes their place.
        drop((bound, weight_stream, end));
        ready.iter().map(|prompt| self.read(prompt)).collect()
    }

    fn read(&self, prompt: &Prompt) -> Result<Vec<f32>, Error> {
        let Some(buffer) = prompt.buffers.get("embeds") else {
            return Ok(Vec::new());
        };
        let bytes = self.gpu.read(buffer, 0..(prompt.values * 4) as u64)?;
        Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect())
    }

    /// The recordings for a prompt of `length` tokens.
    fn recordings(&self, length: usize) -> Result<&[Recording], Error> {
        let recorded = self.passes.recordings.get(&length);
        Ok(recorded.ok_or_else(|| ModelError::Length {
            what: "tokens of a prompt",
            found: length,
            expected: format!("one of {:?}", self.passes.recordings.keys()),
        })?)
    }

    fn prepare(&self, ids: &[u32]) -> Result<Prompt, Error> {
        let (gpu, config) = (&self.gpu, &self.passes.config);
        let length = ids.len();
        if length == 0 {
            return Err(ModelError::NoTokens.into());
        }
        let table = EMBEDDING
            .into_iter()
            .find(|name| self.passes.checkpoint.contains(name));
        let table = table.unwrap_or(EMBEDDING[0]);
        let shape = [config.vocab_size, config.d_model];
        let embedded = self.passes.checkpoint.gather_rows(table, shape, ids)?;
        let buckets = config.relative_attention_num_buckets;
        let farthest = config.relative_attention_max_distance;
        let bucket = relative_buckets(length, buckets, farthest);

        let recordings = self.recordings(length)?;
        let plan = Plan::new(gpu, &recordings.iter().collect::<Vec<_>>())?;

        let values = length * config.d_model;
        let upload = |name: &'static str, bytes: &[u8]| -> Result<_, Error> {
            let buffer = gpu.buffer(name, bytes.len() as u64)?;
            gpu.write(&buffer, 0, bytes)?;
            Ok((name, buffer))
        };
        let buffers = BTreeMap::from([
            upload("hidden", bytemuck::cast_slice(&embedded))?,
            upload("buckets", bytemuck::cast_slice(&bucket))?,
            ("embeds", gpu.buffer("embeds", (values * 4) as u64)?),
        ]);
        Ok(Prompt {
            plan,
            length,
            buffers,
            values,
        })
    }
}

/// The bucket of each distance key - query from -(L - 1) to L - 1, [2 L - 1].
///
/// Half of the buckets are for keys after the query. Of each half, half is for exact distances and
/// the rest for distances in steps that grow like the logarithm, all from `farthest` on sharing
/// the last. The logarithm is rounded to f32 as in the reference, where it decides at the borders.
pub fn relative_buckets(length: usize, buckets: usize, farthest: usize) -> Vec<u32> {
    let half = buckets / 2;
    let exact = half / 2;
    let bucket = |distance: usize| {
        if distance < exact {
            return distance;
        }
        let ratio = (f64::from(distance as f32 / exact as f32)).ln() as f32;
        let steps = ratio / (farthest as f64 / exact as f64).ln() as f32 * (half - exact) as f32;
        (exact + steps as usize).min(half - 1)
    };
    let before = (1..length).rev().map(bucket);
    let after = (1..length).map(|distance| half + bucket(distance));
    before
        .chain([0])
        .chain(after)
        .map(|bucket| bucket as u32)
        .collect()
}
