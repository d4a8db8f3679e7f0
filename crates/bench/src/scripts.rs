//! The tutorial's function in the two languages that most tutorials are in, where this machine has what they need: Node with
//! the SDK, Python with boto3, both as `make tools` leaves them. Lambda's own runtimes for them are not to be had, so each
//! file has the smallest loop that does what those do around a handler.

use crate::process::Launch;
use crate::tls::{BUNDLE, Trust};
use crate::world::World;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOOLS: &str = ".tools";

/// One that can be started.
#[derive(Debug)]
pub struct Script {
    pub name: &'static str,
    /// Of what runs it, as that says it.
    pub version: String,
    interpreter: PathBuf,
    file: PathBuf,
}

impl Script {
    /// Those that can be started here, and why others cannot.
    pub fn find(directory: &Path) -> io::Result<(Vec<Self>, Vec<String>)> {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for script in [node(directory)?, python()?] {
            match script {
                Ok(script) => found.push(script),
                Err(why) => missing.push(why),
            }
        }
        Ok((found, missing))
    }

    /// How it is started in `world`. Each trusts as many roots as it does in Lambda: Node those that it brings, and one more.
    pub fn launch(&self, world: &World, trust: &Trust) -> Launch {
        let [alone, usual] = [&trust.alone, &trust.usual].map(|file| file.display().to_string());
        let changes: &[(&str, &str)] = match self.name {
            // The SDK tells which Node it will want next year.
            "node" => &[("NODE_EXTRA_CA_CERTS", &alone), ("NODE_NO_WARNINGS", "1")],
            _ => &[(BUNDLE, &usual), ("PYTHONDONTWRITEBYTECODE", "1")],
        };
        let mut launch = world.launch(self.name, self.file.clone(), changes);
        launch.under = vec![self.interpreter.display().to_string()];
        launch
    }
}

/// The file is to lie beside the SDK, as in a package.
fn node(directory: &Path) -> io::Result<Result<Script, String>> {
    let modules = std::path::absolute(TOOLS)?.join("node/node_modules");
    let Some((interpreter, version)) = in_path("node") else {
        return Ok(Err("node is not measured: there is none".to_owned()));
    };
    if !modules.join("@aws-sdk/client-dynamodb").exists() {
        return Ok(Err("node is not measured: its SDK is not there (make tools)".to_owned()));
    }
    let package = directory.join("node");
    fs::create_dir_all(&package)?;
    let file = package.join("index.mjs");
    fs::copy("bench/node/index.mjs", &file)?;
    symlink(modules, package.join("node_modules"))?;
    Ok(Ok(Script { name: "node", version, interpreter, file }))
}

fn python() -> io::Result<Result<Script, String>> {
    // The link itself: what it leads to knows nothing of the packages beside it.
    let interpreter = std::path::absolute(TOOLS)?.join("bin/python");
    if says(&interpreter, &["-c", "import boto3"]).is_none() {
        return Ok(Err("python is not measured: there is none with boto3 (make tools)".to_owned()));
    }
    let version = says(&interpreter, &["--version"]).unwrap_or_default();
    let file = Path::new("bench/python/function.py").canonicalize()?;
    Ok(Ok(Script { name: "python", version, interpreter, file }))
}

fn in_path(name: &str) -> Option<(PathBuf, String)> {
    let places = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&places).map(|place| place.join(name)).find(|path| path.is_file())?;
    let version = says(&found, &["--version"])?;
    Some((found, version))
}

fn says(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
