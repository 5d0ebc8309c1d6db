//! Any packets, with any descriptors beside them, as words between keeper, zygote and pid 1: no
//! panic, no descriptor left behind, nobody left waiting.
#![no_main]

use arbitrary::Arbitrary;
use evalrun::sandbox::native::fuzzed::{self, Packet};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Body {
    /// Sent as it is.
    Raw(Vec<u8>),
    /// Sent as a message that stands in the packet.
    Inline(Vec<u8>),
    /// Sent as a message that stands in a file beside it.
    File { bytes: Vec<u8>, sealed: bool },
    /// A sound word of pid 1's, at a time of the fuzzer's choice.
    Said { word: u8, id: u8, number: i32, text: String },
}

#[derive(Arbitrary, Debug)]
struct Input {
    packets: Vec<(Body, u8)>,
    asked: u8,
}

fn packet((body, descriptors): (Body, u8)) -> Packet {
    match body {
        Body::Raw(bytes) => Packet { bytes, descriptors, file: None },
        Body::Inline(bytes) => {
            Packet { bytes: [b"P", &bytes[..]].concat(), descriptors, file: None }
        }
        Body::Said { word, id, number, text } => {
            Packet::said(word, id.into(), number, text, descriptors)
        }
        Body::File { bytes, sealed } => {
            Packet { bytes: b"M".to_vec(), descriptors, file: Some((bytes, sealed)) }
        }
    }
}

fuzz_target!(|input: Input| {
    let packets: Vec<Packet> = input.packets.into_iter().take(16).map(packet).collect();
    for packet in &packets {
        fuzzed::decode(packet);
    }
    fuzzed::hear(&packets, input.asked);
});
