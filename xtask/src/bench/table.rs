//! Results side by side, in Markdown.

use super::figures::Figures;

/// A result that ours is compared with.
pub struct Peer {
    /// The column's title.
    pub title: String,
    /// Whether it is among those that the ratio is to.
    pub lean: bool,
    /// Its figures.
    pub figures: Figures,
}

/// A row for each of our tests; the ratio is ours to the best of the lean peers.
pub fn table(ours: &Figures, peers: &[Peer]) -> String {
    let mut text = "| test | Scalvm |".to_owned();
    let mut rule = "|---|---:|".to_owned();
    for peer in peers {
        text += &format!(" {} |", peer.title);
        rule += "---:|";
    }
    text += &format!(" ratio |\n{rule}---:|\n");
    for name in ours.names() {
        let figure = ours.get(name);
        let shown = figure.map_or("FAILED".to_owned(), round);
        text += &format!("| `{name}` | {shown} |");
        for peer in peers {
            text += &format!(
                " {} |",
                peer.figures.get(name).map_or("-".to_owned(), round)
            );
        }
        text += &format!(
            " {} |\n",
            ratio(name, ours, peers).map_or("-".to_owned(), show_ratio)
        );
    }
    text
}

/// How many rows are better, and which are not.
pub fn summary(ours: &Figures, peers: &[Peer]) -> String {
    let mut rows: Vec<(&str, f64)> = ours
        .names()
        .filter_map(|name| Some((name, ratio(name, ours, peers)?)))
        .collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let worse: Vec<String> = rows
        .iter()
        .take_while(|(_, ratio)| *ratio >= 1.005)
        .map(|(name, ratio)| format!("`{name}` {}", show_ratio(*ratio)))
        .collect();
    let better = rows.len() - worse.len();
    let mut text = format!(
        "\n{better} of {} rows are no worse than the better lean Linux.",
        rows.len()
    );
    if !worse.is_empty() {
        text += &format!(" Worse: {}.", worse.join(", "));
    }
    text.push('\n');
    if let (Some(large), Some(small)) = (ours.get("fork_64m"), ours.get("fork_0m")) {
        let times = large / small;
        text += &format!("\n`fork_64m` is {times:.2} times `fork_0m`; the aim is at most 1.5.\n");
    }
    text
}

/// Our figure over the least of the lean peers'.
fn ratio(name: &str, ours: &Figures, peers: &[Peer]) -> Option<f64> {
    let lean = peers.iter().filter(|peer| peer.lean);
    let best = lean
        .filter_map(|peer| peer.figures.get(name))
        .min_by(f64::total_cmp)?;
    (best > 0.0).then_some(ours.get(name)? / best)
}

/// A ratio, with two digits.
fn show_ratio(ratio: f64) -> String {
    format!("{ratio:.2}")
}

/// A figure, with three digits or more.
fn round(figure: f64) -> String {
    match figure {
        ..10.0 => format!("{figure:.2}"),
        10.0..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_ratios() {
        let peer = |title: &str, lean, text| Peer {
            title: title.to_owned(),
            lean,
            figures: Figures::parse(text),
        };
        let ours = Figures::parse(
            "a 1 50.00 0 0 0\nb 1 200.00 0 0 0\nc FAILED reason\nd 1 1 0 0 0\nfork_0m 1 100 0 0 0\n\
             fork_64m 1 120 0 0 0\n",
        );
        let peers = [
            peer("x", true, "a 1 100.00 0 0 0\nb 1 80.00 0 0 0\nc 1 5 0 0 0"),
            peer("y", true, "a 1 125.00 0 0 0\nb 1 100.00 0 0 0"),
            peer("z", false, "a 1 5.00 0 0 0"),
        ];
        let expected = "\
| test | Scalvm | x | y | z | ratio |
|---|---:|---:|---:|---:|---:|
| `a` | 50.0 | 100 | 125 | 5.00 | 0.50 |
| `b` | 200 | 80.0 | 100 | - | 2.50 |
| `c` | FAILED | 5.00 | - | - | - |
| `d` | 1.00 | - | - | - | - |
| `fork_0m` | 100 | - | - | - | - |
| `fork_64m` | 120 | - | - | - | - |
";
        assert_eq!(table(&ours, &peers), expected);
        assert_eq!(
            summary(&ours, &peers),
            "\n1 of 2 rows are no worse than the better lean Linux. Worse: `b` 2.50.\n\n\
             `fork_64m` is 1.20 times `fork_0m`; the aim is at most 1.5.\n"
        );
    }
}
