//! Just enough of the shell's grammar to know which lines of a script stand at its top level.

mod inert;

use inert::HereDocument;

/// A line of a script that is no part of a here-document's body.
pub(super) struct Line {
    /// Byte offset of its first character.
    pub(super) start: usize,
    /// Byte offset behind its line feed.
    pub(super) end: usize,
    /// A command of the top level begins here.
    pub(super) top_level: bool,
}

/// The lines of a script without the bodies of its here-documents.
pub(super) struct Lines<'a> {
    script: &'a str,
    pub(super) all: Vec<Line>,
}

impl<'a> Lines<'a> {
    pub(super) fn text(&self, line: &Line) -> &'a str {
        &self.script[line.start..line.end]
    }
}

/// What encloses the character at hand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    DoubleQuotes,
    Backticks,
    /// `(`, `<(`, and those of a function's head or an array.
    Parentheses,
    /// `$(`: part of a word.
    Substitution,
    /// `((` or `$((`, where `<<` is a shift.
    Arithmetic,
    /// `${`.
    Parameter,
    /// A compound command, by the word that closes it.
    Until(&'static str),
}

struct Lexer<'a> {
    script: &'a str,
    bytes: &'a [u8],
    at: usize,
    frames: Vec<Frame>,
    pending: Vec<HereDocument>,
    lines: Vec<Line>,
    /// The word being read, as far as it is plain text, and whether a quote is part of it.
    word_start: Option<usize>,
    quoted: bool,
    /// A command's first word would stand here.
    command_position: bool,
    /// The line before asks for more: it ended in `\`, `|`, `&&` or `||`.
    continued: bool,
    last_operator: &'static str,
    /// The word before was `function`: after the name at hand a body follows.
    function_name: bool,
}

/// The script's lines, or nothing if its structure is beyond this lexer, or such that its parts
/// cannot be run by shells of their own.
pub(super) fn top_level_lines(script: &str) -> Option<Lines<'_>> {
    let mut lexer = Lexer {
        script,
        bytes: script.as_bytes(),
        at: 0,
        frames: Vec::new(),
        pending: Vec::new(),
        lines: Vec::new(),
        word_start: None,
        quoted: false,
        command_position: true,
        continued: false,
        last_operator: "",
        function_name: false,
    };
    lexer.begin_line();
    while lexer.at < lexer.bytes.len() {
        lexer.step()?;
    }
    lexer.at = lexer.bytes.len();
    lexer.end_word()?;
    (lexer.frames.is_empty() && lexer.pending.is_empty())
        .then_some(Lines { script, all: lexer.lines })
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn begin_line(&mut self) {
        if self.at >= self.bytes.len() {
            return;
        }
        let end = memchr::memchr(b'\n', &self.bytes[self.at..])
            .map_or(self.bytes.len(), |offset| self.at + offset + 1);
        let top_level = self.frames.is_empty() && !self.continued && self.word_start.is_none();
        self.lines.push(Line { start: self.at, end, top_level });
    }

    fn step(&mut self) -> Option<()> {
        match self.frames.last() {
            Some(Frame::DoubleQuotes) => self.in_double_quotes(),
            Some(Frame::Parameter) => self.in_parameter(),
            Some(Frame::Arithmetic) => self.in_arithmetic(),
            _ => self.in_code(),
        }
    }

    /// Moves on by one byte of text; a line feed begins a line.
    fn advance(&mut self) {
        let line_feed = self.peek(0) == b'\n';
        self.at += 1;
        if line_feed {
            self.begin_line();
        }
    }

    /// Openers that mean the same in code, double quotes and parameters. True if one was read.
    fn expansion(&mut self) -> bool {
        let (frame, length) = match (self.peek(0), self.peek(1), self.peek(2)) {
            (b'`', ..) => (Frame::Backticks, 1),
            (b'$', b'(', b'(') => (Frame::Arithmetic, 3),
            (b'$', b'(', _) => (Frame::Substitution, 2),
            (b'$', b'{', _) => (Frame::Parameter, 2),
            _ => return false,
        };
        self.begin_word();
        self.quoted = true;
        self.frames.push(frame);
        self.at += length;
        if matches!(frame, Frame::Backticks | Frame::Substitution) {
            self.word_start = None;
            self.command_position = true;
        }
        true
    }

    fn in_double_quotes(&mut self) -> Option<()> {
        match self.peek(0) {
            b'\\' => {
                self.at += 1;
                self.advance();
            }
            b'"' => {
                self.frames.pop();
                self.at += 1;
            }
            _ if self.expansion() => {}
            _ => self.advance(),
        }
        Some(())
    }

    fn in_parameter(&mut self) -> Option<()> {
        match self.peek(0) {
            b'\\' => {
                self.at += 1;
                self.advance();
            }
            b'}' => {
                self.frames.pop();
                self.at += 1;
            }
            b'"' => {
                self.frames.push(Frame::DoubleQuotes);
                self.at += 1;
            }
            b'\'' if !self.frames.contains(&Frame::DoubleQuotes) => self.single_quotes(false)?,
            _ if self.expansion() => {}
            _ => self.advance(),
        }
        Some(())
    }

    fn in_code(&mut self) -> Option<()> {
        match self.peek(0) {
            b'\n' => self.line_feed()?,
            b' ' | b'\t' => {
                self.end_word()?;
                self.at += 1;
            }
            b'#' if self.word_start.is_none() => {
                let rest = &self.bytes[self.at..];
                self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            }
            b'\\' if self.peek(1) == b'\n' => {
                self.at += 1;
                self.continued = true;
                self.advance();
                self.continued = false;
            }
            b'\\' => {
                self.begin_word();
                self.quoted = true;
                self.at += 1;
                self.advance();
            }
            b'\'' => self.single_quotes(false)?,
            b'$' if self.peek(1) == b'\'' => {
                self.begin_word();
                self.at += 1;
                self.single_quotes(true)?;
            }
            b'"' => {
                self.begin_word();
                self.quoted = true;
                self.frames.push(Frame::DoubleQuotes);
                self.at += 1;
            }
            b'`' if self.frames.last() == Some(&Frame::Backticks) => {
                self.end_word()?;
                self.close_substitution();
            }
            b'(' | b')' => self.parenthesis()?,
            b'<' | b'>' => self.redirection()?,
            b';' | b'&' | b'|' => self.operator()?,
            _ if self.expansion() => {}
            _ => {
                self.begin_word();
                self.at += 1;
            }
        }
        Some(())
    }

    /// Goes on with the word that the substitution is part of.
    fn close_substitution(&mut self) {
        self.frames.pop();
        self.begin_word();
        self.quoted = true;
        self.command_position = false;
        self.last_operator = "";
        self.at += 1;
    }

    fn begin_word(&mut self) {
        if self.word_start.is_none() {
            self.word_start = Some(self.at);
            self.quoted = false;
        }
    }

    fn parenthesis(&mut self) -> Option<()> {
        if self.peek(0) == b'(' {
            if self.word_start.is_none() && self.command_position && self.peek(1) == b'(' {
                self.frames.push(Frame::Arithmetic);
                self.at += 2;
                self.command_position = false;
                return Some(());
            }
            self.word_start = None;
            self.frames.push(Frame::Parentheses);
        } else {
            self.end_word()?;
            match self.frames.last()? {
                Frame::Parentheses => {
                    self.frames.pop();
                }
                Frame::Substitution => {
                    self.close_substitution();
                    return Some(());
                }
                Frame::Until("esac") => {}
                _ => return None,
            }
        }
        // After `)` a function's body may follow; in `(` a command begins.
        self.command_position = true;
        self.last_operator = "";
        self.at += 1;
        Some(())
    }

    fn redirection(&mut self) -> Option<()> {
        self.end_word()?;
        let here = self.peek(0) == b'<' && self.peek(1) == b'<';
        if here && self.peek(2) == b'<' {
            self.at += 3;
        } else if here {
            self.at += 2;
            self.here_document()?;
        } else if self.peek(1) == b'(' {
            self.at += 1;
        } else {
            self.at += 1;
            // `>&2`, `>|`: no operators of their own.
            if matches!(self.peek(0), b'&' | b'|' | b'>') {
                self.at += 1;
            }
        }
        Some(())
    }

    fn operator(&mut self) -> Option<()> {
        self.end_word()?;
        let (operator, length) = match (self.peek(0), self.peek(1)) {
            (b'&', b'&') => ("&&", 2),
            (b'|', b'|') => ("||", 2),
            (b'|', b'&') => ("|", 2),
            (b'|', _) => ("|", 1),
            (b'&', b'>') => ("", 2),
            // A job in the background may outlive its part of the script.
            (b'&', _) if self.frames.is_empty() => return None,
            (b'&', _) => ("&", 1),
            _ => (";", 1),
        };
        self.command_position = !operator.is_empty();
        self.last_operator = operator;
        self.at += length;
        Some(())
    }

    fn line_feed(&mut self) -> Option<()> {
        self.end_word()?;
        self.at += 1;
        for document in std::mem::take(&mut self.pending) {
            self.skip_body(&document);
        }
        self.continued = matches!(self.last_operator, "|" | "&&" | "||");
        self.begin_line();
        self.command_position = true;
        Some(())
    }

    /// Ends the word at hand and follows what it opens or closes.
    fn end_word(&mut self) -> Option<()> {
        let Some(start) = self.word_start.take() else { return Some(()) };
        self.last_operator = "";
        let first = std::mem::replace(&mut self.command_position, self.function_name);
        self.function_name = first && !self.quoted && &self.bytes[start..self.at] == b"function";
        if self.quoted || !first {
            return Some(());
        }
        let word = &self.bytes[start..self.at];
        let nested = self.frames.contains(&Frame::Parentheses);
        match word {
            b"if" => self.frames.push(Frame::Until("fi")),
            b"case" => self.frames.push(Frame::Until("esac")),
            b"for" | b"while" | b"until" | b"select" => self.frames.push(Frame::Until("done")),
            b"{" => self.frames.push(Frame::Until("}")),
            b"fi" | b"esac" | b"done" | b"}" => match self.frames.last() {
                Some(Frame::Until(closer)) if closer.as_bytes() == word => {
                    self.frames.pop();
                }
                _ => return None,
            },
            // What these do to a shell does not reach the shell that runs the next part.
            b"exec" | b"trap" | b"coproc" if !nested => return None,
            _ => {}
        }
        self.command_position = matches!(
            word,
            b"if"
                | b"while"
                | b"until"
                | b"then"
                | b"else"
                | b"elif"
                | b"do"
                | b"{"
                | b"!"
                | b"time"
        );
        Some(())
    }
}
