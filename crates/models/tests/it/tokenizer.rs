//! Token ids and offsets as transformers' `CLIPTokenizer` gives them (`reference/make_tokenizer.py`).

use impasto_models::Tokenizer;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

#[test]
fn agrees_with_transformers() {
    let goldens: Value = impasto_testkit::golden_json("tokenizer");
    for golden in goldens.as_array().unwrap() {
        let merges = golden["merges"].as_u64().unwrap() as usize;
        let tokenizer = Tokenizer::new(merges).unwrap();
        for row in golden["rows"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let tokens = tokenizer.encode(text);
            let ids: Vec<usize> = tokens.iter().map(|token| token.id as usize).collect();
            assert_eq!(ids, numbers(&row["ids"]), "{merges} merges: {text:?}");
            if let Some(wanted) = row["offsets"].as_array() {
                let offsets: Vec<_> = tokens.iter().map(|token| vec![token.start, token.end]).collect();
                assert_eq!(
                    offsets,
                    wanted.iter().map(numbers).collect::<Vec<_>>(),
                    "{merges} merges: {text:?}"
                );
            }
        }
    }
}
