//! Credit arithmetic for one direction of one connection; host and enclave use the same.

use thiserror::Error;

use crate::limits::INITIAL_WINDOW;

/// The other side broke the rules of credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WindowError {
    /// It sent more bytes than it had credit for.
    #[error("{excess} bytes were sent beyond the credit given")]
    Overrun {
        /// Bytes beyond the credit.
        excess: u32,
    },
    /// It returned more credit than bytes it was sent.
    #[error("{excess} bytes of credit were returned that were never spent")]
    OverCredit {
        /// Credit beyond [`INITIAL_WINDOW`].
        excess: u32,
    },
}

/// The sender's side: how much may still be sent.
#[derive(Debug)]
pub struct SendWindow {
    available: u32,
}

impl Default for SendWindow {
    fn default() -> Self {
        Self { available: INITIAL_WINDOW }
    }
}

impl SendWindow {
    /// Bytes that may be sent now.
    #[must_use]
    pub const fn available(&self) -> u32 {
        self.available
    }

    /// Spends credit for up to `wanted` bytes and returns for how many there was some.
    pub fn take(&mut self, wanted: usize) -> usize {
        let granted = u32::try_from(wanted).map_or(self.available, |w| w.min(self.available));
        self.available -= granted;
        granted as usize
    }

    /// The other side returned credit.
    ///
    /// # Errors
    /// [`WindowError::OverCredit`] when it is more than was spent.
    pub fn credit(&mut self, bytes: u32) -> Result<(), WindowError> {
        let room = INITIAL_WINDOW - self.available;
        if bytes > room {
            return Err(WindowError::OverCredit { excess: bytes - room });
        }
        self.available += bytes;
        Ok(())
    }
}

/// The receiver's side: how much the other may still send, and what is owed to it.
#[derive(Debug, Default)]
pub struct ReceiveWindow {
    /// Received and not yet returned as credit, including what `consumed` counts.
    outstanding: u32,
    /// Consumed, credit not yet returned.
    consumed: u32,
}

impl ReceiveWindow {
    /// Bytes arrived.
    ///
    /// # Errors
    /// [`WindowError::Overrun`] when there was no credit for all of them.
    pub fn receive(&mut self, bytes: usize) -> Result<(), WindowError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = INITIAL_WINDOW - self.outstanding;
        if bytes > room {
            return Err(WindowError::Overrun { excess: bytes - room });
        }
        self.outstanding += bytes;
        Ok(())
    }

    /// Bytes were consumed. Returns the credit to send now, if any: credit is saved up to half a
    /// window, so that it costs few messages and the sender still never waits without need.
    ///
    /// Consuming more than was received counts as all that was received.
    #[must_use]
    pub fn consume(&mut self, bytes: usize) -> Option<u32> {
        let pending = self.outstanding - self.consumed;
        self.consumed += u32::try_from(bytes).map_or(pending, |b| b.min(pending));
        if self.consumed < INITIAL_WINDOW / 2 {
            return None;
        }
        let credit = core::mem::take(&mut self.consumed);
        self.outstanding -= credit;
        Some(credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_spends_what_it_has_and_no_more() {
        let mut window = SendWindow::default();
        assert_eq!(window.take(100), 100);
        assert_eq!(window.take(usize::MAX), INITIAL_WINDOW as usize - 100);
        assert_eq!(window.take(1), 0);
        assert_eq!(window.credit(60), Ok(()));
        assert_eq!(window.available(), 60);
        assert_eq!(window.credit(INITIAL_WINDOW), Err(WindowError::OverCredit { excess: 60 }));
        assert_eq!(window.available(), 60, "a refused credit changes nothing");
    }

    #[test]
    fn a_receiver_returns_credit_in_halves_and_names_an_overrun() {
        let half = INITIAL_WINDOW as usize / 2;
        let mut window = ReceiveWindow::default();
        assert_eq!(window.receive(half), Ok(()));
        assert_eq!(window.consume(half - 1), None);
        assert_eq!(window.consume(1), Some(half as u32));
        assert_eq!(window.receive(2 * half), Ok(()));
        assert_eq!(window.receive(1), Err(WindowError::Overrun { excess: 1 }));
        assert_eq!(window.consume(usize::MAX), Some(INITIAL_WINDOW));
        assert_eq!(window.consume(5), None, "nothing is left to consume");
    }
}
