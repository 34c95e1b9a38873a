//! Pages with sessions: what is typed in one, and what is printed there.

use crate::driver::{Transcript, tidy};

/// A session of a page: commands, and the lines that they print.
pub(crate) type Session<'a> = Vec<(&'a str, Vec<&'a str>)>;

pub(crate) fn block<'a>(page: &'a str, begin: &str) -> &'a str {
    // Behind the fence may stand a language.
    let blocks = page.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks
        .map(|(_, block)| block)
        .find(|block| block.starts_with(begin))
        .unwrap_or_else(|| panic!("no block {begin}"))
}

/// What is typed in one debugger in the first block that begins so; what the shell's line that starts it prints stands
/// first.
pub(crate) fn session<'a>(page: &'a str, begin: &str, debugger: &str) -> Session<'a> {
    let (prompt, start) = (format!("({debugger}) "), format!("$ {debugger} "));
    let mut session: Session<'a> = Vec::new();
    let mut is_in_it = false;
    for line in block(page, begin).lines() {
        if let Some(command) = line.strip_prefix(&prompt).or_else(|| line.starts_with(&start).then_some(line))
        {
            session.push((command, Vec::new()));
            is_in_it = true;
        } else if ["$ ", "(gdb) ", "(lldb) "].iter().any(|prompt| line.starts_with(prompt)) {
            is_in_it = false;
        } else if let Some((_, printed)) = session.last_mut().filter(|_| is_in_it) {
            printed.push(line);
        }
    }
    session
}

/// What is typed at the debugger's own prompt; but for a file that would come to lie in the folder of the sources.
pub(crate) fn typed<'a>(session: &Session<'a>) -> Vec<&'a str> {
    let is_typed = |command: &&str| !command.starts_with("$ ") && !command.contains(" save ");
    session.iter().map(|(command, _)| *command).filter(is_typed).collect()
}

/// Fails unless the text has those lines in that order; `...` stands for any, and at the end of one for its rest.
#[track_caller]
pub(crate) fn has_lines(text: &str, command: &str, expected: &[&str], form: fn(&str) -> String) {
    let printed = form(text);
    let mut printed = printed.lines();
    for line in expected.iter().map(|line| form(line)).filter(|line| line != "...") {
        let is_it = |found: &str| {
            let begins = |begin: &str| found.starts_with(begin);
            found == line || line.strip_suffix("...").is_some_and(begins)
        };
        assert!(printed.any(is_it), "{command} does not print {line:?} in\n{}", form(text));
    }
}

/// A guest boots at other addresses each time its image is made: numbers do not count, nor the folders of made files.
pub(crate) fn without_numbers(text: &str) -> String {
    let is_number = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_digit())
            || word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let plain = |word: &str| {
        let file = word.contains("/kgdbserver/").then(|| word.rsplit_once('/')).flatten();
        let mut rest = file.map_or(word, |(_, name)| name);
        let mut plain = String::new();
        while let Some(first) = rest.chars().next() {
            let end =
                rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            let (part, after) = rest.split_at(end.max(first.len_utf8()));
            plain.push_str(if is_number(part) { "#" } else { part });
            rest = after;
        }
        plain
    };
    let line = |line: &str| line.split(' ').map(plain).collect::<Vec<_>>().join(" ");
    tidy(text).lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Fails unless each command of a session printed what stands there, but for numbers.
#[track_caller]
pub(crate) fn compare(transcript: &Transcript, session: &Session<'_>) {
    let typed = typed(session);
    let mut earlier = Vec::new();
    for (command, printed) in session.iter().filter(|(command, _)| typed.contains(command)) {
        let time = earlier.iter().filter(|known| *known == command).count();
        has_lines(transcript.nth(command, time), command, printed, without_numbers);
        earlier.push(*command);
    }
}
