//! The chart that README shows: each figure of the two functions as a ratio to the tutorial's, and the targets.

use crate::results::{Measured, Results, Verdict};
use std::fmt::Write;

const WIDTH: f64 = 840.0;
/// Of the names, left of the bars.
const LEFT: f64 = 290.0;
/// Of a bar as long as the tutorial's.
const UNIT: f64 = 310.0;
const ROW: f64 = 20.0;
/// Of a label beside a bar, at most.
const LABEL: f64 = 170.0;
const HEAD: f64 = 58.0;
/// A bar that is longer is cut, and its label says how long it is.
const LONGEST: f64 = 1.15;

/// Both themes; a page that shows it as an image passes its reader's on.
const STYLE: &str = "
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px } .small { font-size: 11px; fill: #59636e }
  .request { fill: #0969da } .webhook { fill: #1a7f37 } .missed { fill: #bc4c00 }
  .whole { stroke: #59636e } .target { stroke: #1f2328; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 }
    .request { fill: #4493f8 } .webhook { fill: #3fb950 } .missed { fill: #db6d28 }
    .whole { stroke: #9198a1 } .target { stroke: #f0f6fc }
  }
";

/// The chart, as one SVG document that needs nothing else.
pub fn draw(results: &Results) -> String {
    let verdicts = results.verdicts();
    let ratios: Vec<&Verdict> =
        verdicts.iter().filter(|verdict| matches!(verdict.is, Measured::Ratio { .. })).collect();
    let (mut groups, mut y) = (String::new(), HEAD);
    // A group for each kind of figure; both functions have most of them.
    let mut kinds: Vec<&str> = Vec::new();
    for verdict in &ratios {
        let kind = kind(verdict);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    for wanted in kinds {
        // Writing into a string does not fail.
        let _ = writeln!(groups, "<text x=\"0\" y=\"{}\">{wanted}</text>", y + 13.0);
        for verdict in ratios.iter().filter(|verdict| kind(verdict) == wanted) {
            row(&mut groups, verdict, y);
            y += ROW;
        }
        y += 8.0;
    }
    let (height, at_one) = (y + 22.0, LEFT + UNIT);
    let circumstances = &results.circumstances;
    let said = escaped(&format!(
        "{}, {} of {}, {} cores, commit {}",
        circumstances.date.split('T').next().unwrap_or_default(),
        circumstances.processor,
        circumstances.cpu,
        circumstances.cores,
        circumstances.commit,
    ));
    let bottom = y - 4.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>What the two functions take, as a ratio to a function written as tutorials have it</title>\n\
         <style>{STYLE}</style>\n\
         <text class=\"title\" x=\"0\" y=\"16\">As a ratio to the same function written as tutorials have it: less is better</text>\n\
         <text class=\"small\" x=\"{at_one}\" y=\"46\" text-anchor=\"middle\">tutorial = 1</text>\n\
         <line class=\"target\" x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"35\" y2=\"47\"/>\n\
         <text class=\"small\" x=\"{}\" y=\"46\">target</text>\n\
         <line class=\"whole\" x1=\"{at_one}\" x2=\"{at_one}\" y1=\"52\" y2=\"{bottom}\" stroke-dasharray=\"2 3\"/>\n\
         {groups}<text class=\"small\" x=\"0\" y=\"{}\">{said}</text>\n\
         </svg>\n",
        LEFT + 6.0,
        height - 6.0,
    )
}

/// What stands together.
fn kind(verdict: &Verdict) -> &'static str {
    match verdict.what {
        "new request" | "callback" => "a new request; a callback",
        what => what,
    }
}

fn row(out: &mut String, verdict: &Verdict, y: f64) {
    let Measured::Ratio { ours, tutorials, unit, at_most } = verdict.is else { return };
    let ratio = ours / tutorials;
    let (length, class) =
        (UNIT * ratio.min(LONGEST), if verdict.is_met { verdict.function } else { "missed" });
    let (text, target) = (y + 13.0, LEFT + UNIT * at_most);
    let label = LEFT + length.max(UNIT * at_most) + 8.0;
    // Past the line at 1 there is room; before it, too, but not across.
    let crosses = label + LABEL > LEFT + UNIT && label < LEFT + UNIT;
    let label = if crosses { LEFT + UNIT + 8.0 } else { label };
    let missed = if verdict.is_met { "" } else { ", missed" };
    let said = escaped(&format!("{ratio:.2} · {} of {} {unit}{missed}", digits(ours), digits(tutorials)));
    // Writing into a string does not fail.
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>\n\
         <rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"14\" rx=\"2\"/>\n\
         <line class=\"target\" x1=\"{target:.1}\" x2=\"{target:.1}\" y1=\"{y}\" y2=\"{}\"/>\n\
         <text class=\"small\" x=\"{label:.1}\" y=\"{text}\">{said}</text>\n",
        LEFT - 10.0,
        verdict.function,
        y + 2.0,
        y + 18.0,
    );
}

/// Three digits are enough to look at.
pub fn digits(number: f64) -> String {
    match number {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::run;

    #[test]
    fn the_chart_is_xml_that_needs_nothing_else() {
        let mut results = run(500.0, &[("PutItem", 1.0)]);
        results.circumstances.cpu = "<CPU> & \"more\"".to_owned();
        let svg = draw(&results);
        let document = roxmltree::Document::parse(&svg).unwrap();
        assert_eq!(document.root_element().tag_name().name(), "svg");
        let elements: Vec<&str> = document.descendants().map(|node| node.tag_name().name()).collect();
        for outside in ["image", "script", "use", "a", "foreignObject"] {
            assert!(!elements.contains(&outside), "{outside}");
        }
        assert!(!svg.contains("url(") && !svg.contains("@import"), "{svg}");
    }

    #[test]
    fn each_figure_has_a_bar_as_long_as_its_ratio_and_one_that_is_missed_says_so() {
        let svg = draw(&run(500.0, &[("PutItem", 1.0)]));
        let document = roxmltree::Document::parse(&svg).unwrap();
        let bars: Vec<(&str, f64)> = document
            .descendants()
            .filter(|node| node.has_tag_name((SVG, "rect")))
            .map(|bar| (bar.attribute("class").unwrap(), bar.attribute("width").unwrap().parse().unwrap()))
            .collect();
        // Start, start held, warm, its processor time, memory, package.
        assert_eq!(bars.len(), 6);
        assert_eq!(bars[0], ("request", UNIT * 0.2));
        assert_eq!(bars[2], ("missed", UNIT * LONGEST));
        assert!(svg.contains("1.25 · 500 of 400 µs, missed"));
    }

    const SVG: &str = "http://www.w3.org/2000/svg";
}
