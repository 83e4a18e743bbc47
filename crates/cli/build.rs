//! Tells the program where the demo model is. A checkout without it builds too, and the program says so.

use std::path::Path;

const PATH: &str = "../../models/demo/demo.safetensors";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(demo_model)");
    println!("cargo::rerun-if-changed={PATH}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    if path.is_file() {
        println!("cargo::rustc-cfg=demo_model");
        println!("cargo::rustc-env=IMPASTO_DEMO_MODEL={}", path.display());
    }
}
