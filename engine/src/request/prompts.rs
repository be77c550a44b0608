//! Files of prompts: a request for each.

use std::fs;
use std::path::Path;

use super::{Request, Settings, field};
use crate::error::{Error, RequestError};
use crate::model_files::ModelConfig;
use crate::text::decoded::decoded;

/// Bytes of a file of prompts, at most.
const MAX_FILE: u64 = 64 << 20;

/// The requests of a file, with the lines at which they begin, each `base` with its own fields put in
/// place.
///
/// | ending | form |
/// |---|---|
/// | `.csv` | a header that names fields, a request a row |
/// | `.jsonl`, `.ndjson` | an object of fields a line |
/// | any other | a prompt a line; lines that are empty or begin with `#` are left out |
///
/// Fields are those of [`FIELDS`](super::FIELDS) that a request has; one that is empty or null stays
/// as `base` has it. Text is UTF-8 or, by its mark, UTF-16.
///
/// # Errors
/// [`RequestError::Prompts`] with the line, for a file that cannot be read, a field that is unknown or
/// out of range, a row without a prompt, and a file without rows.
pub fn read_prompts(path: &Path, base: &Request) -> Result<Vec<(u64, Request)>, Error> {
    let wrong = |line: Option<u64>, problem: String| RequestError::Prompts {
        path: path.to_owned(),
        line: line.map_or_else(String::new, |line| format!(", line {line}")),
        problem,
    };
    let found = fs::metadata(path).map_err(|error| wrong(None, error.to_string()))?;
    if !found.is_file() || found.len() > MAX_FILE {
        let problem = format!("it is no file of at most {MAX_FILE} bytes");
        return Err(wrong(None, problem).into());
    }
    let text = fs::read(path).and_then(|bytes| decoded(&bytes));
    let text = text.map_err(|error| wrong(None, error.to_string()))?;
    let ending = path.extension().map(|end| end.to_ascii_lowercase());
    let rows = match ending.as_deref().and_then(|end| end.to_str()) {
        Some("csv") => csv_rows(&text),
        Some("jsonl" | "ndjson") => json_rows(&text),
        _ => Ok(text_rows(&text)),
    };
    let rows = rows.map_err(|(line, problem)| wrong(line, problem))?;
    let mut requests = Vec::new();
    for (line, fields) in rows {
        let mut request = base.clone();
        for (key, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            let known = field(key).filter(|field| field.is_asked()).ok_or_else(|| {
                let names = super::FIELDS.iter().filter(|field| field.is_asked());
                let names: Vec<&str> = names.map(|field| field.key).collect();
                let names = names.join(", ");
                wrong(
                    Some(line),
                    format!("no field is called {key}; known: {names}"),
                )
            })?;
            let set = known.set(&mut request, value);
            set.map_err(|error| wrong(Some(line), error.to_string()))?;
        }
        if request.prompt.trim().is_empty() {
            return Err(wrong(Some(line), "it has no prompt".to_owned()).into());
        }
        requests.push((line, request));
    }
    if requests.is_empty() {
        return Err(wrong(None, "it holds no prompts".to_owned()).into());
    }
    Ok(requests)
}

/// Refuses the first request that a model cannot serve, by its line.
///
/// # Errors
/// [`RequestError::Prompts`] with what [`Settings::resolve`] says.
pub fn check_prompts(
    path: &Path,
    requests: &[(u64, Request)],
    config: &ModelConfig,
) -> Result<(), Error> {
    for (line, request) in requests {
        Settings::resolve(request, config).map_err(|error| RequestError::Prompts {
            path: path.to_owned(),
            line: format!(", line {line}"),
            problem: error.to_string(),
        })?;
    }
    Ok(())
}

/// A line's number and its fields.
type Row = (u64, Vec<(String, String)>);
/// A line, where one is at fault, and what is wrong with it.
type Wrong = (Option<u64>, String);

fn text_rows(text: &str) -> Vec<Row> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let prompts = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    prompts
        .map(|(number, line)| (number, vec![("prompt".to_owned(), line.to_owned())]))
        .collect()
}

fn csv_rows(text: &str) -> Result<Vec<Row>, Wrong> {
    let line = |position: Option<&csv::Position>| position.map(csv::Position::line);
    let failed = |error: csv::Error| (line(error.position()), error.to_string());
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(failed)?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let fields = header.iter().zip(&record);
        let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
        rows.push((line(record.position()).unwrap_or(0), fields.collect()));
    }
    Ok(rows)
}

fn json_rows(text: &str) -> Result<Vec<Row>, Wrong> {
    let lines = (1..).zip(text.lines());
    let lines = lines.filter(|(_, line)| !line.trim().is_empty());
    let row = |(number, line): (u64, &str)| -> Result<Row, Wrong> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|error| (Some(number), error.to_string()))?;
        let field = |(key, value): (String, serde_json::Value)| {
            let text = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                serde_json::Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                    items.join(",")
                }
                other => other.to_string(),
            };
            (key, text)
        };
        Ok((number, object.into_iter().map(field).collect()))
    };
    lines.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<(u64, Request)>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let mut base = Request::new("");
        base.steps = Some(4);
        read_prompts(&path, &base).map_err(|error| error.to_string())
    }

    #[test]
    fn each_form_gives_a_request_a_row() {
        let lines = read("a.txt", "a boat\n\n# later\n  a train \n").unwrap();
        let prompts: Vec<_> = lines
            .iter()
            .map(|(line, r)| (*line, r.prompt.as_str()))
            .collect();
        assert_eq!(prompts, [(1, "a boat"), (4, "a train")]);
        assert_eq!(lines[0].1.steps, Some(4));
        let csv = "prompt,steps,guidance\n\"a boat, red\",9,\na train,,2.5\n";
        let rows = read("a.csv", csv).unwrap();
        assert_eq!(
            (rows[0].1.prompt.as_str(), rows[0].1.steps),
            ("a boat, red", Some(9))
        );
        assert_eq!((rows[1].1.steps, rows[1].1.guidance), (Some(4), Some(2.5)));
        let json = "{\"prompt\":\"a boat\",\"seed\":7,\"timesteps\":[1000,500]}\n\n{\"prompt\":\"b\",\"fps\":null}\n";
        let rows = read("a.jsonl", json).unwrap();
        assert_eq!(rows[0].1.seed, Some(7));
        assert_eq!(rows[0].1.timesteps, Some(vec![1000, 500]));
        assert_eq!(rows[1].0, 3);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (name, text, words) in [
            ("a.csv", "prompt,stepz\na boat,9\n", ["line 2", "stepz"]),
            ("a.csv", "prompt,steps\na boat,many\n", ["line 2", "many"]),
            ("a.csv", "prompt,steps\na boat\n", ["a.csv", "fields"]),
            (
                "a.jsonl",
                "{\"prompt\":\"a\"}\n{\"steps\":3}\n",
                ["line 2", "no prompt"],
            ),
            ("a.jsonl", "{\"prompt\":\n", ["line 1", "EOF"]),
            (
                "a.jsonl",
                "{\"prompt\":\"a\",\"model_hash\":\"x\"}\n",
                ["line 1", "model_hash"],
            ),
            ("a.txt", "# nothing\n", ["a.txt", "no prompts"]),
        ] {
            let error = read(name, text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in {error:?}");
            }
        }
    }
}
