//! Documents in parts: nothing is lost, nothing is too long, and no heading is left behind.

#![cfg(test)]

mod shared;

use judges::split::{ROOM_FOR_A_CHARACTER, document, parts};
use judges::with_links;
use model::render::split::split;
use model::render::{Block, Document, card, html, markdown, parse, slack, text};
use proptest::prelude::*;
use serde_json::json;
use shared::piece;
use std::cell::Cell;

fn chars(document: &Document) -> usize {
    slack::write(document).chars().count()
}

fn written(parts: &[Document]) -> Vec<String> {
    parts.iter().map(markdown::write).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_document_in_parts_of_any_size(
        pieces in prop::collection::vec(piece(), 0..40),
        max in 0..800_usize,
    ) {
        let document = document(&pieces.concat());
        let measures: [fn(&Document) -> usize; 4] = [
            chars,
            |document| html::write(document).len(),
            |document| text::write(document).encode_utf16().count(),
            |document| json!({ "body": card::body(document) }).to_string().len(),
        ];
        for measure in measures {
            for part in parts(&document, max, measure) {
                let fits = max < ROOM_FOR_A_CHARACTER || measure(&part) <= max;
                prop_assert!(fits, "{} > {max}: {:?}", measure(&part), markdown::write(&part));
            }
        }
    }

    #[test]
    fn benign_documents(
        blocks in prop::collection::vec(
            "(|# |- |1\\. |> |- - |> 1\\. )[A-Za-zäß中]{1,9}( (the|\\*\\*rage clicks\\*\\*|`TypeError`|\\[pays\\]\\(https://app\\.logrocket\\.com/a\\)|👩‍💻|AT&T)){0,9}",
            1..40,
        ),
        max in 90..2000_usize,
    ) {
        let document = document(&blocks.join("\n\n"));
        let parts = parts(&document, max, chars);
        for (index, part) in parts.iter().enumerate() {
            prop_assert!(chars(part) <= max);
            let headings = part.blocks.iter().all(|block| matches!(block, Block::Heading { .. }));
            let last = matches!(part.blocks.last(), Some(Block::Heading { .. }));
            prop_assert!(!last || headings || index + 1 == parts.len(), "{:?}", written(&parts));
        }
        // Each part but the last is at least half full, unless a heading or a word had to go on.
        let all: usize = parts.iter().map(chars).sum();
        prop_assert!(parts.len() <= 1 + 4 * all / max + blocks.iter().filter(|block| block.starts_with('#')).count());
    }
}

#[test]
fn what_fits_is_left_as_it_is() {
    let document = document("# a\n\nb");
    assert_eq!(written(&split(document, 7, chars)), ["# a\n\nb\n"]);
    assert_eq!(written(&split(Document::default(), 0, |_| 1)), [""]);
}

#[test]
fn cuts_are_where_least_is_cut_through() {
    for (input, max, expected) in [
        // Between blocks, then between items, then inside of an item.
        ("aaaa\n\nbbbb\n\ncccc", 12, vec!["aaaa\n\nbbbb\n", "cccc\n"]),
        ("- a\n- b\n- c\n- d", 9, vec!["- a\n- b\n", "- c\n- d\n"]),
        ("xxxxxxxx\n\n- a\n- b", 15, vec!["xxxxxxxx\n", "- a\n- b\n"]),
        ("- aaaa\n\n  bbbb\n\n  cccc", 16, vec!["- aaaa\n\n  bbbb\n", "- cccc\n"]),
        ("> aaaa\n>\n> bbbb", 10, vec!["> aaaa\n", "> bbbb\n"]),
        // Numbers go on.
        ("8. a\n9. b\n10. c\n11. d", 13, vec!["8. a\n9. b\n", "10. c\n11. d\n"]),
        // A heading goes with what it is of, or with a piece of that.
        ("aaaa\n\n# b\n\ncccc", 12, vec!["aaaa\n", "# b\n\ncccc\n"]),
        ("# a\n\nbbbb cccc dddd", 12, vec!["# a\n\nbbbb\n", "cccc dddd\n"]),
        // Lines, words, graphemes.
        ("aa\\\nbb cc", 6, vec!["aa\n", "bb cc\n"]),
        ("**aa bb** cc", 7, vec!["**aa**\n", "**bb**\n", "cc\n"]),
        (
            "[aa bb](https://app.logrocket.com/)",
            34,
            vec!["[aa](https://app.logrocket.com/)\n", "[bb](https://app.logrocket.com/)\n"],
        ),
        ("```\na\n\n  b\n```", 12, vec!["```\na\n```\n", "```\n  b\n```\n"]),
        // Spaces are left out where nothing but a character is left to cut.
        ("```\na\n\n  b\n```", 11, vec!["```\na\n```\n", "```\nb\n```\n"]),
        ("a\n\n```\n\u{3000}\n```\n\nb", 4, vec!["a\n", "b\n"]),
        ("\u{3000}\u{3000}a b", 3, vec!["a\n", "b\n"]),
        ("aaa👩‍💻b", 5, vec!["aaa\n", "👩‍💻b\n"]),
        // What cannot be cut to fit is a part all the same.
        ("- ab", 1, vec!["- a\n", "- b\n"]),
        ("👩‍💻", 2, vec!["👩\n", "\u{200d}\n", "💻\n"]),
    ] {
        assert_eq!(written(&parts(&document(input), max, chars)), expected, "{input:?}");
    }
}

#[test]
fn no_run_of_spaces_is_longer_than_a_part() {
    for space in [" ", "\t", "\u{a0}", "\u{3000}"] {
        let run = space.repeat(2_000);
        for input in [
            format!("```\n{run}💻{run}\n{run}b\n```"),
            format!("```\n{run}\n```\n\na"),
            format!("`a{run}b`"),
            format!("{run}a {run} *{run}b*"),
            format!("# a{run}b"),
        ] {
            for part in parts(&document(&input), 100, chars) {
                assert!(chars(&part) <= 100, "{input:?}");
            }
        }
    }
}

#[test]
fn the_largest_documents_are_measured_a_few_times_over() {
    let sessions: String =
        (0..1000).map(|number| format!("- Session {number}: the user **waits** for `checkout`.\n")).collect();
    let [Block::List { start: None, items }] = &document(&sessions).blocks[..] else { panic!("no list") };
    let items = std::iter::repeat_n(items.clone(), 100).flatten().collect();
    let listed = Document { blocks: vec![Block::List { start: None, items }] };
    let long = with_links(|links| parse::plain(&"word ".repeat(1_000_000), links));
    let unbroken = with_links(|links| parse::plain(&"x".repeat(1_000_000), links));
    for whole in [listed, long, unbroken] {
        let all = chars(&whole);
        let measured = Cell::new(0);
        let parts = split(whole, 12_000, |part| {
            let size = chars(part);
            measured.set(measured.get() + size);
            size
        });
        assert!(measured.get() < 5 * all, "{} of {all}", measured.get());
        assert!(parts.iter().all(|part| chars(part) <= 12_000));
        assert!(parts.len() <= 2 * all / 12_000, "{} parts of {all}", parts.len());
    }
}
