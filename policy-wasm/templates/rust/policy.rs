//! Keeps everyone but root away from the paths that the settings name, one per line; lines that begin with # are comments.
//! All else is left to other policies: a module that is not concerned abstains.

mod bindings;
use bindings::*;

struct RootPaths {
    paths: Vec<String>,
}

impl Policy for RootPaths {
    fn configure(settings: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(settings).map_err(|_| "want UTF-8".to_string())?;
        let mut paths = Vec::new();
        for (i, line) in text.split('\n').enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            check(line).map_err(|trouble| format!("line {}: {}", i + 1, trouble))?;
            paths.push(line.to_string());
        }
        Ok(RootPaths { paths })
    }

    fn evaluate(&self, request: &Request, caller: &Caller, _so_far: Option<&Outcome>) -> Outcome {
        match self.paths.iter().find(|path| !caller.elevated && covers(path, &request.segments)) {
            Some(path) => Outcome::deny("path-not-for-users").with_rule(path),
            None => Outcome::abstain("not-concerned"),
        }
    }
}

export_policy!(RootPaths);

fn check(path: &str) -> Result<(), &'static str> {
    let rest = path.strip_prefix('/').ok_or("want a path that begins with /")?;
    for segment in rest.split('/') {
        if segment.is_empty() {
            return Err("found an empty segment");
        }
        if !segment.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_')) {
            return Err("want a-z, 0-9 and - . _ only");
        }
    }
    Ok(())
}

/// All segments of the path are the request's first ones.
fn covers(path: &str, segments: &[Text]) -> bool {
    let wanted = path[1..].split('/');
    let count = wanted.clone().count();
    count <= segments.len() && wanted.zip(segments).all(|(want, found)| want == &**found)
}
