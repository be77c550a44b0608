//! The tokenizer inside a GGUF text encoder: the same ids as by `tokenizer.json`.

use std::fs;
use std::path::Path;

use kinora::error::ConfigError;
use kinora::model_files::{ModelFolder, PartFiles, gguf_tokenizer_json};
use kinora::text::tokenizer::{MAX_TOKENS, Tokenizer};
use kinora::weights::{Checkpoint, Extent, GgufHeader, GgufValue};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use super::{equal, parts, root};

/// Prompts in the scripts that people write them in.
const PROMPTS: [[&str; 4]; 14] = [
    [
        "A red fox trots across fresh snow at dawn, 35mm film, shallow focus",
        "Close-up: rain drips from a rusty lamp; neon signs blur behind it...",
        "Drone shot of a lighthouse (v2.1), 24 fps, f/2.8 — stormy sea",
        "naïve café façade, jalapeño & crème brûlée, 100% handmade",
    ],
    [
        "一只橘猫在木地板上追逐阳光，电影质感",
        "雨夜的街道，霓虹灯倒映在水面上。",
        "老人在湖边钓鱼，远处有雪山",
        "镜头缓慢推近，花瓣随风飘落！",
    ],
    [
        "夕暮れの海辺を歩く少女、逆光、スローモーション",
        "桜の花びらが川面に落ちる",
        "ロボットが市場でリンゴを買う。",
        "東京タワーの夜景、ドローン撮影",
    ],
    [
        "눈 덮인 산을 달리는 기차, 시네마틱",
        "고양이가 창가에서 하품을 한다",
        "비 오는 서울의 밤거리, 네온사인",
        "바닷가에서 연을 날리는 아이",
    ],
    [
        "Медведь ловит рыбу в горной реке, замедленная съёмка",
        "Старый трамвай едет по мокрой улице ночью.",
        "Девочка с зонтом под осенним дождём",
        "Камера медленно поднимается над лесом",
    ],
    [
        "قطة بيضاء تجلس على سطح منزل قديم عند الغروب",
        "قافلة من الجمال تعبر الصحراء تحت ضوء القمر",
        "سوق مزدحم، ألوان زاهية، تصوير سينمائي",
        "طفل يركض خلف طائرة ورقية على الشاطئ",
    ],
    [
        "חתול אפור ישן על אדן החלון באור בוקר",
        "גלים מתנפצים על הסלעים, צילום אווירי",
        "רחוב ישן בירושלים בגשם",
        "ילדה מנופפת לרכבת חולפת",
    ],
    [
        "एक हाथी नदी पार कर रहा है, सुनहरी रोशनी",
        "बारिश में चाय की दुकान, धीमी गति",
        "हिमालय पर उगता हुआ सूरज",
        "बच्चे पतंग उड़ा रहे हैं।",
    ],
    [
        "แมวสีส้มนอนอยู่บนหลังคาบ้านไม้ริมคลอง",
        "ตลาดน้ำยามเช้า แสงอ่อนๆ",
        "ช้างเดินผ่านทุ่งหญ้าตอนพระอาทิตย์ตก",
        "ฝนตกบนถนนในกรุงเทพ ภาพยนตร์",
    ],
    [
        "Μια γάτα κοιμάται σε ένα λευκό σκαλοπάτι στο ηλιοβασίλεμα",
        "Το πλοίο φεύγει από το λιμάνι, αργή κίνηση",
        "Άνεμος στα ελαιόδεντρα.",
        "Η κάμερα πετά πάνω από το νησί",
    ],
    [
        "თეთრი ცხენი მირბის მინდორზე",
        "წვიმა ძველ თბილისში, ღამე",
        "მთები ღრუბლებში",
        "ბავშვი აგროვებს ვაშლებს",
    ],
    [
        "ஒரு யானை ஆற்றைக் கடக்கிறது",
        "மழையில் நனையும் தெரு, இரவு",
        "கடற்கரையில் ஓடும் சிறுவன்",
        "மலை மீது சூரிய உதயம்",
    ],
    [
        "Một chú mèo ngồi bên cửa sổ ngắm mưa rơi, ánh sáng dịu",
        "Con thuyền trôi trên sông lúc hoàng hôn",
        "Chợ đêm Đà Nẵng đông đúc, quay chậm",
        "Cánh đồng lúa chín vàng dưới gió",
    ],
    [
        "Կատուն քնած է պատուհանի մոտ",
        "Արևածագը լեռների վրա",
        "Հին փողոց անձրևի տակ",
        "Երեխան թռցնում է օդապարուկ 🪁",
    ],
];

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("a_gguf_vocabulary_makes_the_same_ids", || {
            same_from_json(&parts().join("tokenizer/tokenizer.json"), 300)
        }),
        Trial::test("a_gguf_carries_its_tokenizer", carried),
        Trial::test("a_broken_gguf_vocabulary_is_refused", broken),
    ]
}

/// Each prompt, each with the next script's, and texts that look like tokens.
fn prompts() -> Vec<String> {
    let mut prompts: Vec<String> = PROMPTS.concat().into_iter().map(str::to_owned).collect();
    for (script, next) in PROMPTS.iter().zip(PROMPTS.iter().cycle().skip(1)) {
        let pairs = script.iter().zip(next);
        prompts.extend(pairs.map(|(one, other)| format!("{one} / {other}, 4K")));
    }
    for text in [
        "",
        "</s>",
        "<unk> x",
        "[PAD300]",
        "a[PAD256300]b",
        "<extra_id_7>",
        "300",
        " 301",
    ] {
        prompts.push(text.to_owned());
    }
    prompts
}

/// The keys of a GGUF that was made of the model that `json` was, with so many ids.
fn keys(json: &Value, rows: usize) -> Result<Vec<(&'static str, GgufValue)>, Failed> {
    let vocabulary = json["model"]["vocab"].as_array().ok_or("a vocabulary")?;
    let added = json["added_tokens"].as_array().ok_or("added tokens")?;
    let (mut tokens, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (id, entry) in vocabulary.iter().enumerate() {
        let text = entry[0].as_str().ok_or("a piece")?;
        let special = added.iter().any(|token| token["id"] == id);
        tokens.push(text.to_owned());
        scores.push(entry[1].as_f64().ok_or("a score")? as f32);
        kinds.push(match special {
            _ if json["model"]["unk_id"] == id => 2,
            true if text.starts_with("<extra_id_") => 4,
            true => 3,
            false => 1,
        });
    }
    for id in tokens.len()..rows {
        tokens.push(format!("[PAD{id}]"));
        scores.push(-1000.0);
        kinds.push(5);
    }
    Ok(vec![
        ("model", GgufValue::Text("t5".into())),
        ("tokens", GgufValue::Texts(tokens)),
        ("scores", GgufValue::Floats(scores)),
        ("token_type", GgufValue::Numbers(kinds)),
        ("add_space_prefix", GgufValue::Bool(true)),
        ("eos_token_id", GgufValue::U32(1)),
        ("unknown_token_id", GgufValue::U32(3)),
    ])
}

fn header(keys: Vec<(&'static str, GgufValue)>) -> Vec<u8> {
    let mut header = GgufHeader::new("t5encoder");
    for (key, value) in keys {
        header.key(format!("tokenizer.ggml.{key}"), value);
    }
    header.to_bytes()
}

/// The tokenizer in a GGUF file, or why there is none.
fn read(bytes: Vec<u8>) -> Result<Tokenizer, String> {
    let file = Checkpoint::from_bytes("a.gguf", bytes, "text_encoder");
    let file = file.map_err(|error| error.to_string())?;
    let found = file.tokenizer().map_err(|error| error.to_string())?;
    let json = gguf_tokenizer_json(&found.ok_or("there is none")?)?;
    Tokenizer::from_bytes("a.gguf", &json).map_err(|error| error.to_string())
}

pub(super) fn same_from_json(path: &Path, rows: usize) -> Result<(), Failed> {
    let json = fs::read(path)?;
    let own = Tokenizer::from_bytes("tokenizer.json", &json)?;
    let made = read(header(keys(&serde_json::from_slice(&json)?, rows)?))?;
    let prompts = prompts();
    if prompts.len() < 100 {
        return Err(format!("{} prompts", prompts.len()).into());
    }
    for prompt in prompts {
        let [own, made] = [&own, &made].map(|tokenizer| tokenizer.encode(&prompt, MAX_TOKENS));
        equal(&prompt, made?, own?)?;
    }
    Ok(())
}

/// A model whose text encoder is a GGUF by the reference's writer, with no tokenizer beside it.
fn carried() -> Result<(), Failed> {
    let own = root().join("tests/fixtures/wan21/model");
    let text_encoder = parts().join("text_encoder.gguf");
    let files = PartFiles {
        text_encoder: Some(text_encoder.clone()),
        transformer: Some(own.join("transformer/diffusion_pytorch_model.safetensors")),
        vae: Some(own.join("vae/diffusion_pytorch_model.safetensors")),
        ..PartFiles::default()
    };
    let folder = ModelFolder::of_parts(&files)?;
    let (shown, _) = folder.tokenizer_json()?;
    if !shown.starts_with("tokenizer.ggml in ") {
        return Err(shown.into());
    }
    let made = folder.tokenizer()?.ok_or("no tokenizer")?;
    let cases: Vec<super::Case> = serde_json::from_slice(&fs::read(parts().join("tokens.json"))?)?;
    for super::Case { cleaned, ids } in cases {
        equal(&cleaned, made.encode(&cleaned, MAX_TOKENS)?.ids, ids)?;
    }
    // The head of the file is enough.
    let temporary = tempfile::tempdir()?;
    let bytes = fs::read(&text_encoder)?;
    let head = temporary.path().join("head.gguf");
    fs::write(&head, bytes.get(..bytes.len() - 20_000).ok_or("too short")?)?;
    let headed = PartFiles {
        text_encoder: Some(head),
        ..files.clone()
    };
    let headed = ModelFolder::of_parts_to(&headed, Extent::Headers)?;
    headed.tokenizer()?.ok_or("no tokenizer in the head")?;
    // What a run refuses, so does a look at the heads.
    let without = PartFiles {
        text_encoder: Some(own.join("text_encoder/model.safetensors")),
        ..files
    };
    for extent in [Extent::Whole, Extent::Headers] {
        match ModelFolder::of_parts_to(&without, extent)?.tokenizer() {
            Err(ConfigError::NoTokenizer { .. }) => {}
            other => return Err(format!("{extent:?}: {other:?}").into()),
        }
    }
    equal(
        "a released model",
        ModelFolder::like("wan2.1-1.3b")?.tokenizer()?.is_none(),
        true,
    )
}

fn broken() -> Result<(), Failed> {
    let json: Value = serde_json::from_slice(&fs::read(parts().join("tokenizer/tokenizer.json"))?)?;
    let with = |key: &'static str, value: GgufValue| -> Result<String, Failed> {
        let mut keys = keys(&json, 300)?;
        keys.retain(|(known, _)| *known != key);
        keys.push((key, value));
        match read(header(keys)) {
            Err(error) => Ok(error),
            Ok(_) => Err(format!("another {key} was accepted").into()),
        }
    };
    for (key, value, words) in [
        ("model", GgufValue::Text("gpt2".into()), "gpt2, expected t5"),
        (
            "scores",
            GgufValue::Floats(vec![0.0; 3]),
            "300 tokens, but 3 in scores",
        ),
        (
            "scores",
            GgufValue::Floats(vec![f32::NAN; 300]),
            "no number",
        ),
        ("scores", GgufValue::Numbers(vec![0; 300]), "not floats"),
        ("token_type", GgufValue::Numbers(vec![1]), "1 in token_type"),
        ("token_type", GgufValue::U32(1), "not a list"),
        ("tokens", GgufValue::Floats(vec![0.0]), "not texts"),
        ("eos_token_id", GgufValue::U32(1_000_000), "no piece </s>"),
        ("unknown_token_id", GgufValue::U32(299), "unknown"),
        (
            "precompiled_charsmap",
            GgufValue::Bytes(vec![255; 8]),
            "cut off",
        ),
        (
            "precompiled_charsmap",
            GgufValue::Text("x".into()),
            "not a list",
        ),
    ] {
        let error = with(key, value)?;
        if !error.contains(words) {
            return Err(format!("{key}: {error}").into());
        }
    }
    Ok(())
}
