use super::KernelTarget;

/// lldb names no thread when it reads memory, so whose memory it reads must be said.
pub(super) fn run(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    let tid = match arguments {
        [] => None,
        [tid] => Some(tid.parse().map_err(|_| format!("{tid}: not a thread's number"))?),
        _ => return Err("at most one thread's number".into()),
    };
    let thread = target.choose(tid)?;
    Ok(format!("user addresses mean memory of {} (pid {})\n", thread.comm, thread.pid))
}
