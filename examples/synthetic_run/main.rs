//! Writes a run that never was: the journal, patches and logs of made-up models on made-up instances.
//! Reports are measured and tested with it.
//!
//!     cargo run --release --example synthetic_run -- FOLDER [INSTANCES [MODELS [ATTEMPTS]]]
//!
//! makes `FOLDER/synthetic`, of 2294 instances, 3 models and 2 attempts unless told otherwise.

mod run;

use run::Shape;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("name the folder of the reports")?;
    let mut number = |default: usize| args.next().map_or(Ok(default), |text| text.parse());
    let shape = Shape {
        instances: number(2294)?,
        models: number(3)?,
        attempts: u32::try_from(number(2)?)?,
        ..Shape::default()
    };
    run::write(Path::new(&folder), &shape)?;
    Ok(())
}
