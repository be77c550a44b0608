//! The image encoder: the picture half of CLIP, up to its last block but one.
//!
//! Reference: `CLIPVisionModel` of transformers. Radford et al. 2021, "Learning Transferable Visual
//! Models From Natural Language Supervision"; Dosovitskiy et al. 2020, "An Image is Worth 16x16
//! Words".

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alignment::check_multiples_of_four;
use super::config::{ClipActivation, ImageEncoderConfig};
use super::signature::Signatures;
use crate::error::{Error, ModelError};
use crate::gpu::{
    Bound, Buffer, Cancel, Gpu, Plan, Stream, StreamWindow, StreamedTensor, WeightBuffers,
    WeightStream, slot_bytes,
};
use crate::nn::{After, LayerNorm, Linear, Weights};
use crate::ops::attention::{AttentionShape, Bias, attention};
use crate::ops::matmul::{Epilogue, matmul};
use crate::record::{Caps, Footprint, Pack, Precision, Recorder, Recording, Tensor, TensorInfo};
use crate::tensor::DType;
use crate::weights::Checkpoint;

const MODEL: &str = "CLIPVisionModel";
const ROOT: &str = "vision_model";
const LAYERS: &str = "vision_model.encoder.layers";

/// Names of the tensors that cross from and to the host.
const PATCHES: &str = "patches";
const POSITIONS: &str = "positions";
const HIDDEN: &str = "hidden";

/// Sees pictures. Weights are read from the mapped checkpoint a layer at a time, for all pictures of
/// a call together, and pass through the device.
#[derive(Debug)]
pub struct ImageEncoder<'m> {
    gpu: &'m Gpu,
    layers: ImageLayers<'m>,
    checkpoint: Arc<Checkpoint>,
    window: Option<StreamWindow>,
}

/// The image encoder's layers as data: their recordings and memory, without a device.
#[derive(Debug)]
pub struct ImageLayers<'m> {
    caps: Caps,
    config: &'m ImageEncoderConfig,
    checkpoint: &'m Checkpoint,
    signatures: Signatures,
}

impl<'m> ImageLayers<'m> {
    /// Checks the checkpoint against the configuration.
    ///
    /// # Errors
    /// Sizes that the kernels cannot take; tensors that are missing, of another shape or unknown.
    pub fn new(
        caps: &Caps,
        config: &'m ImageEncoderConfig,
        checkpoint: &'m Checkpoint,
    ) -> Result<Self, Error> {
        let head = config.hidden_size / config.num_attention_heads;
        let fields = [
            ("hidden_size", config.hidden_size),
            ("intermediate_size", config.intermediate_size),
            ("hidden_size / num_attention_heads", head),
            ("3 · patch_size²", 3 * config.patch_size.pow(2)),
        ];
        check_multiples_of_four(MODEL, &fields)?;
        // The models use the state before the last block.
        let last = config.num_hidden_layers - 1;
        let signatures = Signatures::new(checkpoint, LAYERS, last);
        let this = Self {
            caps: Precision::F32.limit(caps),
            config,
            checkpoint,
            signatures,
        };
        for (kind, &layer) in this.signatures.first.iter().enumerate() {
            let recording = this.record_layer(layer)?;
            for other in this.signatures.members(kind) {
                for (_, info, _) in recording.weights() {
                    checkpoint.type_of(
                        &this.signatures.rename(kind, other, &info.name),
                        &info.shape,
                    )?;
                }
            }
        }
        this.record_start()?;
        for (name, shape) in this.tables() {
            checkpoint.type_of(&name, &shape)?;
        }
        let last = format!("{LAYERS}.{last}.");
        checkpoint.check_all_read(&[
            last.as_str(),
            "vision_model.post_layernorm.",
            "vision_model.embeddings.position_ids",
            "visual_projection.",
        ])?;
        Ok(this)
    }

    /// The class token and the positions, with their shapes.
    fn tables(&self) -> [(String, Vec<usize>); 2] {
        let d = self.config.hidden_size;
        let name = |name: &str| format!("{ROOT}.embeddings.{name}");
        [
            (name("class_embedding"), vec![d]),
            (
                name("position_embedding.weight"),
                vec![self.config.tokens(), d],
            ),
        ]
    }

    /// Bytes of device memory to encode `pictures` pictures together: (weights, everything else).
    ///
    /// # Errors
    /// Sizes that do not fit the device's bindings.
    pub fn memory(&self, pictures: usize, window: StreamWindow) -> Result<(u64, u64), Error> {
        let recordings = self.record()?;
        let all = Footprint::of(&recordings);
        let start = Footprint::of(recordings.last());
        // Each picture has its own tensors; the plan is for all.
        let own = all.total() - all.weights - all.working();
        Ok((
            window.bytes(self.set_bytes()?) + start.weights,
            pictures as u64 * own + all.working(),
        ))
    }

    /// Bytes of device memory of a layer's weights.
    ///
    /// # Errors
    /// As [`ImageLayers::memory`].
    pub fn set_bytes(&self) -> Result<u64, Error> {
        Ok(slot_bytes(&self.sets()?))
    }

    /// The layers' weights, to be streamed.
    fn sets(&self) -> Result<Vec<Vec<StreamedTensor>>, Error> {
        Ok(self.signatures.sets(&[&self.record()?]))
    }

    /// A recording for each kind of layer, then that of the layers before them.
    fn record(&self) -> Result<Vec<Recording>, Error> {
        let kinds = self.signatures.first.iter();
        let mut recordings = kinds
            .map(|&layer| self.record_layer(layer))
            .collect::<Result<Vec<_>, Error>>()?;
        recordings.push(self.record_start()?);
        Ok(recordings)
    }

    /// From patches [L, 3 P²] (zeros for the class token) and the embeddings added to each [L, D] to the
    /// state `hidden` [L, D].
    fn record_start(&self) -> Result<Recording, Error> {
        let config = self.config;
        let (d, p, tokens) = (config.hidden_size, config.patch_size, config.tokens());
        let mut recorder = Recorder::new(&self.caps);
        let rec = &mut recorder;
        let patches = rec.input(PATCHES, [tokens, 3 * p * p], DType::F32)?;
        let positions = rec.input(POSITIONS, [tokens, d], DType::F32)?;
        let hidden = rec.state(HIDDEN, [tokens, d], DType::F32)?;
        let weights = Weights::new(self.checkpoint).at(ROOT);
        let weight = weights
            .at("embeddings.patch_embedding")
            .weight(rec, "weight", [d, 3, p, p], Pack::Matrix)?
            .reshaped([d, 3 * p * p])?;
        let x = matmul(rec, &patches, &weight, Epilogue::Residual(&positions), None)?;
        // The reference's spelling.
        let norm = LayerNorm::new(rec, &weights.at("pre_layrnorm"), d, self.eps())?;
        let normed = norm.forward(rec, &x)?;
        rec.copy((&normed, 0), (&hidden, 0), hidden.bytes());
        Ok(recorder.finish())
    }

    fn eps(&self) -> f32 {
        self.config.layer_norm_eps as f32
    }

    /// A layer on the state `hidden`.
    fn record_layer(&self, layer: usize) -> Result<Recording, Error> {
        let d = self.config.hidden_size;
        let mut recorder = Recorder::new(&self.caps);
        let rec = &mut recorder;
        let hidden = rec.state(HIDDEN, [self.config.tokens(), d], DType::F32)?;
        let weights = Weights::new(self.checkpoint)
            .at(LAYERS)
            .at(&layer.to_string());
        let attended = self.record_attention(rec, &weights, &hidden)?;
        self.record_feed_forward(rec, &weights, &attended, &hidden)?;
        Ok(recorder.finish())
    }

    /// `x + out_proj(attention(layer_norm1(x)))`
    fn record_attention(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        x: &Tensor,
    ) -> Result<Tensor, Error> {
        let (d, heads) = (self.config.hidden_size, self.config.num_attention_heads);
        let norm = LayerNorm::new(rec, &weights.at("layer_norm1"), d, self.eps())?;
        let normed = norm.forward(rec, x)?;
        let weights = weights.at("self_attn");
        let mut project = |name: &str| -> Result<Tensor, Error> {
            let linear = Linear::new(rec, &weights.at(name), d, d)?;
            Ok(linear.forward(rec, &normed, After::Nothing, None)?)
        };
        let [q, k, v] = [project("q_proj")?, project("k_proj")?, project("v_proj")?];
        let head_size = d / heads;
        let shape = AttentionShape {
            heads,
            head_size,
            scale: 1.0 / (head_size as f32).sqrt(),
        };
        let mixed = attention(
            rec,
            (&q).into(),
            (&k).into(),
            (&v).into(),
            shape,
            Bias::None,
        )?;
        let out = Linear::new(rec, &weights.at("out_proj"), d, d)?;
        Ok(out.forward(rec, &mixed, After::Add(x), None)?)
    }

    /// `x + fc2(activation(fc1(layer_norm2(x))))`, into `hidden`
    fn record_feed_forward(
        &self,
        rec: &mut Recorder<'_>,
        weights: &Weights<'_>,
        x: &Tensor,
        hidden: &Tensor,
    ) -> Result<(), Error> {
        let (d, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let norm = LayerNorm::new(rec, &weights.at("layer_norm2"), d, self.eps())?;
        let normed = norm.forward(rec, x)?;
        let weights = weights.at("mlp");
        let up = weights.at("fc1");
        let weight = up.weight(rec, "weight", [inner, d], Pack::Matrix)?;
        let bias = up.vector(rec, "bias", [inner])?;
        let activation = match self.config.hidden_act {
            ClipActivation::QuickGelu => Epilogue::BiasQuickGelu(&bias),
            ClipActivation::Gelu => Epilogue::BiasGeluErf(&bias),
        };
        let raised = matmul(rec, &normed, &weight, activation, None)?;
        let down = Linear::new(rec, &weights.at("fc2"), inner, d)?;
        down.forward(rec, &raised, After::Add(x), Some(hidden))?;
        Ok(())
    }
}

impl<'m> ImageEncoder<'m> {
    /// Checks the checkpoint against the configuration; uploads nothing yet.
    ///
    /// # Errors
    /// As [`ImageLayers::new`].
    pub fn new(
        gpu: &'m Gpu,
        config: &'m ImageEncoderConfig,
        checkpoint: &'m Arc<Checkpoint>,
    ) -> Result<Self, Error> {
        Ok(Self {
            gpu,
            layers: ImageLayers::new(gpu.caps(), config, checkpoint)?,
            checkpoint: checkpoint.clone(),
            window: None,
        })
    }

    /// Sets the device memory of the streamed weights; the default is the fastest window.
    #[must_use]
    pub fn with_window(self, window: StreamWindow) -> Self {
        Self {
            window: Some(window),
            ..self
        }
    }

    /// Encodes pictures [S, S, 3], S being `image_size`, normalised as CLIP's preprocessing does. Returns
    /// for each the state [tokens, hidden_size] before the last block, `hidden_states[-2]`, without
    /// `post_layernorm`. `each_layer` receives the number of finished layers.
    ///
    /// # Errors
    /// A picture of another size, no room on the device, or cancelled.
    pub fn encode(
        &self,
        pictures: &[&[f32]],
        cancel: &Cancel,
        each_layer: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<f32>>, Error> {
        let layers = &self.layers;
        let recordings = layers.record()?;
        let plan = Plan::new(self.gpu, &recordings.iter().collect::<Vec<_>>())?;
        let positions = self.positions()?;
        let ready = pictures
            .iter()
            .map(|pixels| self.upload(pixels, &positions))
            .collect::<Result<Vec<_>, _>>()?;
        let bind = |pass: usize,
                    own: &BTreeMap<&'static str, Buffer>,
                    weights: &dyn Fn(&str) -> Option<Buffer>|
         -> Result<Bound, Error> {
            plan.bind(pass, &|info: &TensorInfo| {
                let own = own.get(info.name.as_str()).cloned();
                own.or_else(|| weights(&info.name))
            })
        };
        let sets = layers.sets()?;
        let [fastest, ..] = StreamWindow::choices(slot_bytes(&sets));
        let window = self.window.unwrap_or(fastest);
        let weight_stream =
            WeightStream::new(self.gpu, self.checkpoint.clone(), sets, window, false)?;
        let kinds = layers.signatures.first.len();
        let mut bound = Vec::new();
        for slot in weight_stream.slots() {
            for kind in 0..kinds {
                let weights = |name: &str| slot.get(layers.signatures.key(kind, name)?).cloned();
                let pictures = ready.iter().map(|own| bind(kind, own, &weights));
                bound.push(pictures.collect::<Result<Vec<_>, _>>()?);
            }
        }
        let mut stream = Stream::new(self.gpu, cancel);
        let mut start = WeightBuffers::new();
        if let Some(recording) = recordings.get(kinds) {
            start.load(self.gpu, layers.checkpoint, recording, &str::to_owned)?;
        }
        for own in &ready {
            stream.run(&bind(kinds, own, &|name| start.get(name))?)?;
        }
        for (layer, &kind) in layers.signatures.of.iter().enumerate() {
            let slot = weight_stream.acquire(&mut stream, layer)?;
            for picture in &bound[slot * kinds + kind] {
                stream.run(picture)?;
            }
            weight_stream.prefetch()?;
            each_layer(layer + 1);
        }
        stream.finish()?;
        // Reading back takes their place.
        drop((bound, weight_stream, start, plan));
        ready.iter().map(|own| self.read(own)).collect()
    }

    fn read(&self, own: &BTreeMap<&'static str, Buffer>) -> Result<Vec<f32>, Error> {
        let Some(hidden) = own.get(HIDDEN) else {
            return Ok(Vec::new());
        };
        let config = self.layers.config;
        let bytes = config.tokens() * config.hidden_size * 4;
        let found = self.gpu.read(hidden, 0..bytes as u64)?;
        Ok(bytemuck::pod_collect_to_vec(&found))
    }

    /// The positions, with the class token added to the first.
    fn positions(&self) -> Result<Vec<f32>, Error> {
        let [(class, class_shape), (positions, shape)] = self.layers.tables();
        let checkpoint = self.layers.checkpoint;
        let mut all = checkpoint.get(&positions, &shape)?.to_f32();
        let class = checkpoint.get(&class, &class_shape)?.to_f32();
        for (position, class) in all.iter_mut().zip(class) {
            *position += class;
        }
        Ok(all)
    }

    /// A picture's own buffers.
    fn upload(
        &self,
        pixels: &[f32],
        positions: &[f32],
    ) -> Result<BTreeMap<&'static str, Buffer>, Error> {
        let config = self.layers.config;
        let expected = 3 * config.image_size.pow(2);
        if pixels.len() != expected {
            return Err(ModelError::Length {
                what: "a picture for CLIP",
                found: pixels.len(),
                expected: format!("{expected}, image_size² · 3"),
            }
            .into());
        }
        let patches = patches(config, pixels);
        let upload = |name: &'static str, bytes: &[u8]| -> Result<_, Error> {
            let buffer = self.gpu.buffer(name, bytes.len() as u64)?;
            self.gpu.write(&buffer, 0, bytes)?;
            Ok((name, buffer))
        };
        let state = (config.tokens() * config.hidden_size * 4) as u64;
        Ok(BTreeMap::from([
            upload(PATCHES, bytemuck::cast_slice(&patches))?,
            upload(POSITIONS, bytemuck::cast_slice(positions))?,
            (HIDDEN, self.gpu.buffer(HIDDEN, state)?),
        ]))
    }
}

/// Pixels [S, S, 3] as rows (colour, line, column) of a patch, behind a row of zeros.
fn patches(config: &ImageEncoderConfig, pixels: &[f32]) -> Vec<f32> {
    let (p, side) = (config.patch_size, config.image_size);
    let mut rows = vec![0.0; 3 * p * p];
    for top in 0..config.patches() {
        for left in 0..config.patches() {
            for colour in 0..3 {
                for line in top * p..(top + 1) * p {
                    let columns = left * p..(left + 1) * p;
                    rows.extend(columns.map(|column| pixels[(line * side + column) * 3 + colour]));
                }
            }
        }
    }
    rows
}
