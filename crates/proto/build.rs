//! Compiles proto/weir/v1 with a pure-Rust protobuf compiler: no protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = ["common", "jobmanager", "taskmanager"].map(|f| format!("weir/v1/{f}.proto"));
    let descriptors = protox::compile(files, [root])?;
    tonic_prost_build::configure().bytes(".weir.v1").compile_fds(descriptors)?;
    Ok(())
}
