//! `evalrun doctor`: what this machine can do, what is missing, and how to mend it.

use super::Session;
use super::args::DoctorArgs;
use super::exit::{self, Failure};

pub(super) fn run(args: &DoctorArgs, session: &Session) -> Result<u8, Failure> {
    let _ = (args, session);
    Ok(exit::FINISHED)
}
