//! A small reader of XML documents without a document type: elements and their attributes. It
//! refuses what is not well-formed, as the reader of the incumbent does.

use crate::grade::parsers::pattern;
use std::collections::{HashMap, HashSet};

/// Deeper documents are refused.
const MAX_DEPTH: usize = 256;

/// An element; a document is the list of its elements in the order of their start tags.
pub(in crate::grade::parsers) struct Element {
    pub(in crate::grade::parsers) name: String,
    pub(in crate::grade::parsers) attributes: Vec<(String, String)>,
    /// Index of the enclosing element; the root has none.
    pub(in crate::grade::parsers) parent: Option<usize>,
    /// Index behind the last element inside this one.
    pub(in crate::grade::parsers) end: usize,
}

impl Element {
    pub(in crate::grade::parsers) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What was read of a document.
pub(in crate::grade::parsers) struct Document {
    /// Its elements, those before a failure included; the ones still open then end where it is.
    pub(in crate::grade::parsers) elements: Vec<Element>,
    /// How much of the text it takes.
    pub(in crate::grade::parsers) length: usize,
    /// Why it could not be read to its end.
    pub(in crate::grade::parsers) failure: Option<String>,
}

/// Reads a document that is one root element.
pub(in crate::grade::parsers) fn elements(text: &str) -> Result<Vec<Element>, String> {
    if let Some(c) = text.chars().find(|c| !is_character(*c)) {
        return Err(format!("the character U+{:04X} is not allowed in XML", u32::from(c)));
    }
    let document = document(text);
    if let Some(failure) = document.failure {
        return Err(failure);
    }
    if text[document.length..].chars().all(is_blank) {
        return Ok(document.elements);
    }
    Err("something follows the root".to_owned())
}

/// Reads the document that the text begins with; whatever may follow its root.
pub(in crate::grade::parsers) fn document(text: &str) -> Document {
    let mut reader = Reader { text, ..Reader::default() };
    let failure = reader.document().err();
    let count = reader.elements.len();
    for index in reader.open {
        reader.elements[index].end = count;
    }
    Document { elements: reader.elements, length: reader.at, failure }
}

/// The prefixes that an element's attributes declare.
fn declared(attributes: &[(String, String)]) -> impl Iterator<Item = &str> {
    attributes.iter().filter_map(|(key, _)| key.strip_prefix("xmlns:"))
}

fn is_character(c: char) -> bool {
    !(c < ' ' && !matches!(c, '\t' | '\n' | '\r') || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_name_character(c: char) -> bool {
    let digit_or_mark = |c: char| pattern!(r"[\p{Nd}\p{M}]").is_match(c.encode_utf8(&mut [0; 4]));
    is_name_start(c)
        || c.is_ascii_digit()
        || matches!(c, '-' | '.' | '\u{b7}')
        || !c.is_ascii() && digit_or_mark(c)
}

fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | ':')
}

#[derive(Default)]
struct Reader<'t> {
    text: &'t str,
    at: usize,
    elements: Vec<Element>,
    /// Indices of the elements whose end tag is still to come.
    open: Vec<usize>,
    /// Prefixes that these declare, and how many of them do.
    prefixes: HashMap<String, usize>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn error<T>(&self, what: &str) -> Result<T, String> {
        let line = 1 + self.text[..self.at].matches('\n').count();
        Err(format!("{what} in line {line} of the document"))
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// The text up to this end, which is skipped too.
    fn until(&mut self, end: &str) -> Result<&'t str, String> {
        let rest = self.rest();
        match memchr::memmem::find(rest.as_bytes(), end.as_bytes()) {
            Some(length) => {
                self.at += length + end.len();
                Ok(&rest[..length])
            }
            None => {
                let error = self.error(&format!("`{end}` is missing"));
                // All that follows belongs to what does not end.
                self.at = self.text.len();
                error
            }
        }
    }

    fn blanks(&mut self) -> bool {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start_matches(is_blank).len();
        self.at += length;
        length > 0
    }

    fn name(&mut self) -> Result<&'t str, String> {
        let rest = self.rest();
        let length = rest.find(|c| !is_name_character(c)).unwrap_or(rest.len());
        if !rest.starts_with(is_name_start) {
            return self.error("a name is expected");
        }
        self.at += length;
        Ok(&rest[..length])
    }

    fn document(&mut self) -> Result<(), String> {
        loop {
            if self.eat("<!--") {
                self.comment()?;
            } else if self.eat("<![CDATA[") {
                self.until("]]>")?;
            } else if self.eat("<?") {
                let instruction = self.until("?>")?;
                if !instruction.starts_with(is_name_start) {
                    return self.error("an instruction has no name");
                }
            } else if self.eat("</") {
                self.end_tag()?;
            } else if self.eat("<") {
                self.start_tag()?;
            } else {
                self.characters()?;
            }
            if self.open.is_empty() {
                return Ok(());
            }
            if self.rest().is_empty() {
                return self.error("an element does not end");
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        self.until("--")?;
        if self.eat(">") { Ok(()) } else { self.error("`--` stands in a comment") }
    }

    fn characters(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let length = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        let text = &rest[..length];
        if text.contains("]]>") {
            return self.error("`]]>` stands in text");
        }
        self.resolve(text)?;
        self.at += length;
        Ok(())
    }

    fn start_tag(&mut self) -> Result<(), String> {
        let name = self.name()?.to_owned();
        let mut attributes = Vec::new();
        let mut names = HashSet::new();
        let empty = loop {
            let separated = self.blanks();
            if self.eat("/>") {
                break true;
            }
            if self.eat(">") {
                break false;
            }
            if !separated {
                return self.error("a blank is missing");
            }
            let key = self.name()?;
            self.blanks();
            if !self.eat("=") {
                return self.error("an attribute has no value");
            }
            self.blanks();
            let quote = if self.eat("\"") {
                "\""
            } else if self.eat("'") {
                "'"
            } else {
                return self.error("an attribute's value has no quotes");
            };
            let raw = self.until(quote)?;
            if raw.contains('<') {
                return self.error("`<` stands in an attribute");
            }
            if !names.insert(key) {
                return self.error("an attribute stands twice");
            }
            attributes.push((key.to_owned(), self.resolve(&raw.replace(['\t', '\n', '\r'], " "))?));
        };
        self.check_prefixes(&name, &attributes)?;
        let index = self.elements.len();
        let parent = self.open.last().copied();
        if !empty {
            for prefix in declared(&attributes) {
                *self.prefixes.entry(prefix.to_owned()).or_default() += 1;
            }
            self.open.push(index);
        }
        self.elements.push(Element { name, attributes, parent, end: index + 1 });
        if self.open.len() > MAX_DEPTH {
            return self.error("elements are nested too deeply");
        }
        Ok(())
    }

    fn end_tag(&mut self) -> Result<(), String> {
        let name = self.name()?;
        self.blanks();
        if !self.eat(">") {
            return self.error("an end tag does not end");
        }
        let end = self.elements.len();
        let Some(index) = self.open.pop() else { return self.error("an end tag does not fit") };
        let element = &mut self.elements[index];
        element.end = end;
        for prefix in declared(&element.attributes) {
            if let Some(count) = self.prefixes.get_mut(prefix) {
                *count -= 1;
                if *count == 0 {
                    self.prefixes.remove(prefix);
                }
            }
        }
        if element.name == name { Ok(()) } else { self.error("an end tag does not fit") }
    }

    /// A name with a prefix needs the prefix declared, here or further out.
    fn check_prefixes(&self, name: &str, attributes: &[(String, String)]) -> Result<(), String> {
        let own: HashSet<&str> = declared(attributes).collect();
        let names = attributes.iter().map(|(key, _)| key.as_str()).chain([name]);
        for prefix in names.filter_map(|name| name.split_once(':')).map(|(prefix, _)| prefix) {
            let known = prefix == "xml" || prefix == "xmlns";
            if !known && !own.contains(prefix) && !self.prefixes.contains_key(prefix) {
                return self.error("a prefix is not declared");
            }
        }
        Ok(())
    }

    /// Text with its references replaced.
    fn resolve(&self, raw: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut rest = raw;
        while let Some((before, reference)) = rest.split_once('&') {
            text.push_str(before);
            let Some((name, after)) = reference.split_once(';') else {
                return self.error("a reference does not end");
            };
            match character(name) {
                Some(c) => text.push(c),
                None => return self.error("a reference is unknown"),
            }
            rest = after;
        }
        text.push_str(rest);
        Ok(text)
    }
}

fn character(reference: &str) -> Option<char> {
    let number = match reference {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => reference.strip_prefix('#')?,
    };
    let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |digits| (digits, 16));
    let plain = digits.chars().all(|c| c.is_digit(radix));
    let code = u32::from_str_radix(digits, radix).ok().filter(|_| plain)?;
    char::from_u32(code).filter(|c| is_character(*c))
}
