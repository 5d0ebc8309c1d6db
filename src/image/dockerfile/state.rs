//! What a stage says so far, and the instructions that only change that.

use super::parse::{Instruction, Wrong};
use super::words::{self, Words};
use crate::layers::{Healthcheck, ImageConfig, ImageKey};
use std::collections::BTreeMap;
use std::time::Duration;

/// Build arguments that need no `ARG`; in no key and in no image.
pub(super) const PREDEFINED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What runs commands that are given as text, where no `SHELL` says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Arguments of a whole build.
pub(super) struct Arguments {
    /// `--build-arg`.
    pub(super) given: BTreeMap<String, String>,
    /// Declared before the first stage; defaults of stages that name them.
    pub(super) global: BTreeMap<String, String>,
}

/// A stage, as far as it has come.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The image so far.
    pub(super) image: ImageKey,
    /// What it says.
    pub(super) config: ImageConfig,
    /// Build arguments that the stage has declared.
    pub(super) args: BTreeMap<String, String>,
    /// Whether this stage has a `CMD`; one of its base ends with an `ENTRYPOINT`.
    own_cmd: bool,
    escape: char,
}

impl State {
    pub(super) fn new(image: ImageKey, config: ImageConfig, escape: char) -> Self {
        Self { image, config, args: BTreeMap::new(), own_cmd: false, escape }
    }

    fn lookup(&self, name: &str) -> Option<String> {
        self.config.env.get(name).or_else(|| self.args.get(name)).cloned()
    }

    /// A word with its variables replaced.
    pub(super) fn expand(&self, word: &str) -> Result<String, String> {
        let lookup = |name: &str| self.lookup(name);
        Words { escape: self.escape, lookup: &lookup }.expand(word)
    }

    /// The text of a here-document with its variables replaced.
    pub(super) fn expand_text(&self, text: &str) -> Result<String, String> {
        let lookup = |name: &str| self.lookup(name);
        Words { escape: self.escape, lookup: &lookup }.expand_text(text)
    }

    /// Programs and arguments of a command that may be given as a list or as text.
    pub(super) fn command(&self, instruction: &Instruction) -> Vec<String> {
        instruction.list().unwrap_or_else(|| self.by_shell(&instruction.rest))
    }

    /// A shell's command line for this text.
    pub(super) fn by_shell(&self, text: &str) -> Vec<String> {
        let shell = match self.config.shell.is_empty() {
            true => SHELL.map(str::to_owned).to_vec(),
            false => self.config.shell.clone(),
        };
        shell.into_iter().chain([text.to_owned()]).collect()
    }

    /// A path inside, absolute and plain.
    pub(super) fn inner_path(&self, path: &str) -> String {
        let absolute = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", self.config.workdir),
        };
        clean(&absolute)
    }

    /// Does what only changes what the image says. False: the instruction is of another kind.
    pub(super) fn apply(
        &mut self,
        instruction: &Instruction,
        arguments: &Arguments,
    ) -> Result<bool, Wrong> {
        let done = match instruction.name.as_str() {
            "ARG" => self.arg(instruction, arguments),
            "ENV" => self.pairs(instruction).map(|pairs| self.config.env.extend(pairs)),
            "LABEL" => self.pairs(instruction).map(|pairs| self.config.labels.extend(pairs)),
            "EXPOSE" => self.expose(instruction),
            "VOLUME" => self.volume(instruction),
            "USER" => self.expand(&instruction.rest).map(|user| self.config.user = user),
            "STOPSIGNAL" => {
                self.expand(&instruction.rest).map(|signal| self.config.stop_signal = signal)
            }
            "SHELL" => match instruction.list().filter(|list| !list.is_empty()) {
                Some(list) => {
                    self.config.shell = list;
                    Ok(())
                }
                None => Err("SHELL takes a JSON list of text".to_owned()),
            },
            "CMD" => {
                self.config.cmd = self.command(instruction);
                self.own_cmd = true;
                Ok(())
            }
            "ENTRYPOINT" => {
                self.config.entrypoint = self.command(instruction);
                if !self.own_cmd {
                    self.config.cmd.clear();
                }
                Ok(())
            }
            "HEALTHCHECK" => self.healthcheck(instruction),
            "ONBUILD" => {
                self.config.on_build.push(as_written(instruction));
                Ok(())
            }
            // Its author is told by labels nowadays.
            "MAINTAINER" => Ok(()),
            _ => return Ok(false),
        };
        done.map(|()| true).map_err(|why| (instruction.line, why))
    }

    fn arg(&mut self, instruction: &Instruction, arguments: &Arguments) -> Result<(), String> {
        for word in words::split(&instruction.rest, self.escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name.to_owned(), Some(self.expand(default)?)),
                None => (word.clone(), None),
            };
            let global = || arguments.global.get(&name).cloned();
            let value = arguments.given.get(&name).cloned().or(default).or_else(global);
            match value {
                Some(value) => self.args.insert(name, value),
                None => self.args.remove(&name),
            };
        }
        Ok(())
    }

    /// `name=value …`, or the old `name value`.
    fn pairs(&self, instruction: &Instruction) -> Result<Vec<(String, String)>, String> {
        let words = words::split(&instruction.rest, self.escape);
        if words.first().is_some_and(|word| !word.contains('=')) {
            let (name, value) = instruction
                .rest
                .split_once(char::is_whitespace)
                .ok_or_else(|| format!("{} takes names and values", instruction.name))?;
            return Ok(vec![(self.expand(name)?, self.expand(value.trim_start())?)]);
        }
        let pair = |word: &String| {
            let (name, value) = word
                .split_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("`{word}` is not of the form name=value"))?;
            Ok((self.expand(name)?, self.expand(value)?))
        };
        // All of them see the values from before the instruction.
        words.iter().map(pair).collect()
    }

    fn expose(&mut self, instruction: &Instruction) -> Result<(), String> {
        for word in instruction.rest.split_whitespace() {
            let expanded = self.expand(word)?;
            for word in expanded.split_whitespace() {
                self.config.exposed_ports.extend(ports(word)?);
            }
        }
        Ok(())
    }

    fn volume(&mut self, instruction: &Instruction) -> Result<(), String> {
        let words = instruction
            .list()
            .unwrap_or_else(|| instruction.rest.split_whitespace().map(str::to_owned).collect());
        for word in words {
            let volume = self.expand(&word)?.trim().to_owned();
            if volume.is_empty() {
                return Err("a volume's name is empty".to_owned());
            }
            self.config.volumes.insert(volume);
        }
        Ok(())
    }

    fn healthcheck(&mut self, instruction: &Instruction) -> Result<(), String> {
        let (kind, rest) = match instruction.rest.split_once(char::is_whitespace) {
            Some((kind, rest)) => (kind, rest.trim_start()),
            None => (instruction.rest.as_str(), ""),
        };
        let test = match kind.to_ascii_uppercase().as_str() {
            "NONE" if rest.is_empty() => vec!["NONE".to_owned()],
            "CMD" if !rest.is_empty() => match serde_json::from_str::<Vec<String>>(rest) {
                Ok(list) => [vec!["CMD".to_owned()], list].concat(),
                Err(_) => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
            },
            _ => return Err("HEALTHCHECK takes CMD and a command, or NONE".to_owned()),
        };
        let time = |flag| instruction.flag(flag).map(duration).transpose();
        let retries = instruction
            .flag("retries")
            .map(|text| text.parse().map_err(|_| format!("`{text}` is no number of retries")));
        self.config.healthcheck = Some(Healthcheck {
            test,
            interval: time("interval")?,
            timeout: time("timeout")?,
            start_period: time("start-period")?,
            retries: retries.transpose()?,
        });
        Ok(())
    }
}

/// What stands behind the name of an instruction, here-documents included.
fn as_written(instruction: &Instruction) -> String {
    let mut text = instruction.rest.clone();
    for document in &instruction.documents {
        text.push('\n');
        text.push_str(&document.text);
        text.push_str(&document.name);
    }
    text
}

/// `80`, `80/udp` or `80-82/tcp`, each port by itself.
fn ports(word: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("`{word}` is no port");
    let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let first: u16 = first.parse().map_err(|_| wrong())?;
    let last: u16 = last.parse().map_err(|_| wrong())?;
    if first > last {
        return Err(wrong());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// A time as Go writes it: `1m30s`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as 30s, 1m30s or 500ms");
    let mut rest = text;
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (count, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let unit = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(wrong()),
        };
        nanoseconds += count.parse::<f64>().map_err(|_| wrong())? * unit;
        rest = tail;
    }
    // To whole nanoseconds; times of years are not meant.
    Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| wrong())
}

/// An absolute path without `.`, `..` and doubled slashes.
pub(super) fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use crate::model::Digest;

    fn applied(text: &str, given: &[(&str, &str)]) -> Result<State, Wrong> {
        let file = parse::parse(&format!("FROM a\n{text}")).unwrap();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let arguments = Arguments {
            given: given.iter().map(own).collect(),
            global: BTreeMap::from([("GLOBAL".to_owned(), "g".to_owned())]),
        };
        let image = ImageKey(Digest::of("a"));
        let mut state = State::new(image, ImageConfig::default(), file.escape);
        for instruction in &file.stages[0].instructions {
            assert!(state.apply(instruction, &arguments)?, "{}", instruction.name);
        }
        Ok(state)
    }

    #[test]
    fn variables_come_from_the_stage() {
        let text = "ARG A=1 B GLOBAL\nENV X=$A Y=\"$X-$GLOBAL\" Z='$A'\nENV OLD style $A\nENV A=2";
        let state = applied(text, &[("B", "b"), ("UNUSED", "u")]).unwrap();
        let env = &state.config.env;
        assert_eq!((env["X"].as_str(), env["Y"].as_str(), env["Z"].as_str()), ("1", "-g", "$A"));
        assert_eq!(env["OLD"], "style 1");
        assert_eq!(state.expand("$A$B$UNUSED").unwrap(), "2b");
        let given = applied("ARG A=1", &[("A", "3")]).unwrap();
        assert_eq!(given.args["A"], "3");
    }

    #[test]
    fn the_config_is_what_dockers_would_be() {
        let text = "EXPOSE 80 90-91/udp\nVOLUME /a /b\nVOLUME [\"/c d\"]\nUSER u:g\n\
            STOPSIGNAL SIGINT\nCMD echo $HOME\nENTRYPOINT [\"x\"]\nSHELL [\"bash\", \"-c\"]\n\
            HEALTHCHECK --interval=1m30s --retries=3 CMD curl x\nONBUILD RUN y\n\
            LABEL \"a.b\"=\"c d\" e=f";
        let config = applied(text, &[]).unwrap().config;
        let ports: Vec<_> = config.exposed_ports.iter().map(String::as_str).collect();
        assert_eq!(ports, ["80/tcp", "90/udp", "91/udp"]);
        assert!(config.volumes.contains("/c d") && config.volumes.len() == 3);
        assert_eq!(config.cmd, ["/bin/sh", "-c", "echo $HOME"]);
        assert_eq!(config.entrypoint, ["x"]);
        let health = config.healthcheck.unwrap();
        assert_eq!(health.test, ["CMD-SHELL", "curl x"]);
        assert_eq!((health.interval, health.retries), (Some(Duration::from_secs(90)), Some(3)));
        assert_eq!(config.on_build, ["RUN y"]);
        assert_eq!((config.labels["a.b"].as_str(), config.labels["e"].as_str()), ("c d", "f"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "EXPOSE x",
            "EXPOSE 2-1",
            "SHELL bash -c",
            "HEALTHCHECK x",
            "HEALTHCHECK --interval=5 CMD x",
            "ENV a=b c",
            "ENV A",
            "USER \"x",
        ] {
            assert!(applied(bad, &[]).is_err(), "{bad}");
        }
        assert_eq!(clean("/a/../../b//./c/"), "/b/c");
    }
}
