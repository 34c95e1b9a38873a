//! Rows of getprocs.

use super::Linux;
use crate::Result;
use crate::kernel::Listing;
use crate::kernel::kinfo::KinfoProc;
use crate::space::Space;

impl Linux {
    /// The rows of getprocs: one for every process, or one for every thread.
    pub(super) fn kinfo(&self, mem: &Space, _threads: bool) -> Result<Listing<KinfoProc>> {
        let processes = self.all_processes(mem);
        let row = |process: &crate::kernel::Process| KinfoProc {
            paddr: process.va,
            pid: process.pid,
            comm: process.comm.clone(),
            ppid: process.ppid,
            ..KinfoProc::default()
        };
        Ok(Listing { items: processes.items.iter().map(row).collect(), problems: processes.problems })
    }
}
