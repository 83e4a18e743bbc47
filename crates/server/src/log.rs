//! `log.csv`: a line for each picture that somebody chose to keep, as A1111's page writes it.

use impasto_domain::csv_line;
use std::fs::OpenOptions;
use std::io::{Error, Write as _};
use std::path::Path;

/// Names of the columns.
const COLUMNS: [&str; 11] = [
    "prompt",
    "seed",
    "width",
    "height",
    "sampler",
    "cfgs",
    "steps",
    "filename",
    "negative_prompt",
    "sd_model_name",
    "sd_model_hash",
];

/// Writes a line behind those in the file, and the columns' names before the first.
pub(crate) fn append(file: &Path, values: [&str; COLUMNS.len()]) -> Result<(), Error> {
    let mut open = OpenOptions::new().append(true).create(true).open(file)?;
    let head = if open.metadata()?.len() == 0 { csv_line(&COLUMNS) } else { String::new() };
    // In one go, so that lines of several writers do not mix.
    open.write_all(format!("{head}{}", csv_line(&values)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_one_head() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log.csv");
        for prompt in ["a cat, \"big\"", "dog"] {
            append(
                &file,
                [prompt, "7", "512", "512", "Euler", "7.0", "20", "1.png", "", "model", "0123456789"],
            )
            .unwrap();
        }
        let head = "prompt,seed,width,height,sampler,cfgs,steps,filename,negative_prompt,sd_model_name,sd_model_hash";
        let lines = "7,512,512,Euler,7.0,20,1.png,,model,0123456789";
        assert_eq!(
            std::fs::read_to_string(file).unwrap(),
            format!("{head}\r\n\"a cat, \"\"big\"\"\",{lines}\r\ndog,{lines}\r\n")
        );
    }
}
