//! The table that is printed.

/// A figure.
pub(crate) struct Row {
    pub(crate) figure: &'static str,
    pub(crate) measured: String,
    /// What is wanted of it, and whether that was reached; none for a figure that is just shown.
    pub(crate) wanted: Option<(String, bool)>,
    /// Who else was measured in the same run, what they took, and how many times that our figure is.
    pub(crate) peers: Vec<(&'static str, String, f64)>,
}

impl Row {
    pub(crate) fn new(figure: &'static str, measured: String) -> Self {
        Self { figure, measured, wanted: None, peers: Vec::new() }
    }

    pub(crate) fn wanted(self, text: impl Into<String>, reached: bool) -> Self {
        Self { wanted: Some((text.into(), reached)), ..self }
    }

    pub(crate) fn beside(mut self, peer: &'static str, theirs: String, ratio: f64) -> Self {
        self.peers.push((peer, theirs, ratio));
        self
    }

    fn cells(&self) -> [String; 4] {
        let wanted = self.wanted.as_ref();
        let wanted =
            wanted.map(|(text, reached)| format!("{text}{}", if *reached { "" } else { "  MISSED" }));
        let peers = self.peers.iter().map(|(peer, theirs, ratio)| format!("{peer} {theirs} (x{ratio:.2})"));
        [
            self.figure.into(),
            self.measured.clone(),
            wanted.unwrap_or_default(),
            peers.collect::<Vec<_>>().join(", "),
        ]
    }
}

/// Prints the rows under a heading; returns how many figures were missed.
pub(crate) fn print(rows: &[Row]) -> usize {
    let heading = ["figure", "measured", "wanted", "beside (ours / theirs)"].map(String::from);
    let lines: Vec<[String; 4]> = std::iter::once(heading).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let (figure, measured, wanted) = (width(0), width(1), width(2));
    for [a, b, c, d] in &lines {
        println!("{}", format!("{a:figure$}  {b:measured$}  {c:wanted$}  {d}").trim_end());
    }
    rows.iter().filter(|row| row.wanted.as_ref().is_some_and(|(_, reached)| !reached)).count()
}

/// A duration in the unit that suits it.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.1} s"),
    }
}
