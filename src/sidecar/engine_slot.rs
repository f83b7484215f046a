//! The engine behind the admin listener, which may start while the listener serves already.

use std::sync::{Arc, OnceLock};

use crate::engine::Engine;
use crate::error::{Error, Kind};

/// The place of the engine. Clones share it.
#[derive(Clone, Debug)]
pub struct EngineSlot(Arc<StartedEngine>);

#[derive(Debug)]
struct StartedEngine {
    engine: OnceLock<Engine>,
    simulated: bool,
}

impl EngineSlot {
    /// An empty place. `simulated` is whether the engine's providers will be.
    #[must_use]
    pub fn empty(simulated: bool) -> EngineSlot {
        EngineSlot(Arc::new(StartedEngine { engine: OnceLock::new(), simulated }))
    }

    /// Has `engine` work from now on. The first one counts.
    pub fn set(&self, engine: &Engine) {
        let _ = self.0.engine.set(engine.clone());
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] while there is none.
    pub fn get(&self) -> Result<&Engine, Error> {
        self.0.engine.get().ok_or_else(|| Error::new(Kind::NotSent))
    }

    /// Whether the providers are simulated.
    pub(super) fn is_simulated(&self) -> bool {
        self.0.simulated
    }
}

impl From<Engine> for EngineSlot {
    fn from(engine: Engine) -> EngineSlot {
        let slot = EngineSlot::empty(engine.is_simulated());
        slot.set(&engine);
        slot
    }
}
