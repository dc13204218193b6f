//! Compiles the contract with protox, so that no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=causeway/link/v1/link.proto");
    let descriptors = protox::compile(["causeway/link/v1/link.proto"], ["."])?;
    tonic_prost_build::configure()
        .bytes(".") // every `bytes` field is a view into the received frame, never a copy
        .compile_fds(descriptors)?;
    Ok(())
}
