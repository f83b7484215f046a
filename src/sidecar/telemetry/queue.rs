//! The lines that wait for standard error: nothing that logs waits for its reader.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// The most lines that wait, of a few hundred bytes each.
const LINES_MAX: usize = 8192;

/// Lines on their way to a reader that may not read. When it reads too slowly, lines are dropped
/// and counted.
#[derive(Clone, Debug, Default)]
pub(super) struct LogQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    added: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    /// How many were dropped since the last one was added.
    dropped: u64,
    /// How many were dropped in all.
    dropped_ever: u64,
    /// Whether one is being written.
    is_writing: bool,
}

impl LogQueue {
    /// Starts the thread that writes the lines to `output`, and, after some were dropped, the line
    /// that `report` makes of their number.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<LogQueue> {
        let queue = LogQueue::default();
        let shared = Arc::clone(&queue.0);
        thread::Builder::new()
            .name("paygate-log".to_owned())
            .spawn(move || write_lines(&shared, output, report))?;
        Ok(queue)
    }

    /// Adds a line, or drops it when too many wait.
    pub(super) fn add(&self, line: &[u8]) {
        let mut lines = self.0.lines();
        if lines.waiting.len() < LINES_MAX {
            lines.waiting.push_back(line.to_vec());
            self.0.added.notify_one();
        } else {
            lines.dropped = lines.dropped.saturating_add(1);
            lines.dropped_ever = lines.dropped_ever.saturating_add(1);
        }
    }

    /// How many lines were dropped.
    pub(super) fn lines_dropped(&self) -> u64 {
        self.0.lines().dropped_ever
    }

    /// Waits until all lines are written, but no longer than `wait`.
    pub(super) fn flush(&self, wait: Duration) {
        let is_pending = |lines: &mut Lines| !lines.waiting.is_empty() || lines.is_writing;
        drop(self.0.written.wait_timeout_while(self.0.lines(), wait, is_pending));
    }
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line, and how many were dropped before it.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut lines = self.lines();
        lines.is_writing = false;
        loop {
            let dropped = std::mem::take(&mut lines.dropped);
            if let Some(line) = lines.waiting.pop_front() {
                lines.is_writing = true;
                return (line, dropped);
            }
            self.written.notify_all();
            lines = self.added.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn write_lines(shared: &Shared, mut output: impl Write, report: impl Fn(u64)) {
    loop {
        let (line, dropped) = shared.next();
        // A line that cannot be written is lost: there is nowhere to report that.
        drop(output.write_all(&line));
        if dropped > 0 {
            report(dropped);
        }
    }
}

/// One line: the format writes all of it at once.
#[derive(Debug)]
pub(super) struct LogLine<'q>(&'q LogQueue);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for LogQueue {
    type Writer = LogLine<'q>;

    fn make_writer(&'q self) -> LogLine<'q> {
        LogLine(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A pipe whose reader takes a line whenever it is permitted to.
    struct Pipe {
        permits: Receiver<()>,
        read: Sender<String>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.read.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_stops_nobody_and_learns_later_how_many_lines_it_missed() {
        let (permit, permits) = channel();
        let (read, lines) = channel();
        let (reported, reports) = channel();
        let report = move |dropped| reported.send(dropped).unwrap();
        let queue = LogQueue::start(Pipe { permits, read }, report).unwrap();
        queue.add(b"first");
        let is_taken = || queue.0.lines().is_writing;
        while !is_taken() {
            thread::yield_now();
        }
        let count = LINES_MAX + 100;
        (0..count).for_each(|n| queue.add(n.to_string().as_bytes()));
        queue.flush(Duration::from_millis(1));
        (0..=LINES_MAX).for_each(|_| permit.send(()).unwrap());
        assert_eq!(lines.recv().unwrap(), "first");
        for n in 0..LINES_MAX {
            assert_eq!(lines.recv().unwrap(), n.to_string());
        }
        assert_eq!(reports.recv().unwrap(), 100);
        assert_eq!(queue.lines_dropped(), 100);
        queue.add(b"last");
        permit.send(()).unwrap();
        queue.flush(Duration::from_secs(60));
        assert_eq!(lines.try_recv().unwrap(), "last", "what was flushed is written");
    }

    /// Its reader is gone, so that no line can be written.
    #[test]
    fn a_reader_that_is_gone_stops_nobody() {
        let (read, _) = channel();
        let (_, permits) = channel();
        let queue = LogQueue::start(Pipe { permits, read }, |_| ()).unwrap();
        (0..LINES_MAX).for_each(|_| queue.add(b"line"));
        queue.flush(Duration::from_secs(60));
        assert!(queue.0.lines().waiting.is_empty());
    }
}
