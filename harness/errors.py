"""Every error that fmtharness raises on purpose.

    HarnessError            the base to catch; never raised itself
    ├── UserError           the user can fix it: a file, a key, an option
    │   ├── ConfigError     a config file, an override or a component's options
    │   │   └── RefusedError    options that a server does not take
    │   ├── DataError       a data file's content, with the line where it broke
    │   └── ModelError      a model reference that cannot be resolved or loaded
    ├── PluginError         a distribution that registers something wrong
    ├── ParityError         training would not see the prompt that generation sees
    ├── TrainingError       the loss or gradient is not finite, or the loss diverged
    └── StoppedError        a signal ended the work, and what was done is saved

The command line renders any of them as one sentence, without a traceback, and exits with 2.
"""


class HarnessError(Exception):
    """The base class; its text is one sentence that names the place and the way out."""


class UserError(HarnessError):
    """An error that the user can fix."""


class ConfigError(UserError):
    """A config file, an override or a component's options do not fit."""


class RefusedError(ConfigError):
    """A server does not take the options of a request, such as a response_format."""


class DataError(UserError):
    """A data file is missing, empty, or broken at a line that the message names."""


class ModelError(UserError):
    """A model reference cannot be resolved or loaded."""


class PluginError(HarnessError):
    """A plugin failed to import, misspelled a hook, or claims a name that is taken."""


class ParityError(HarnessError):
    """The prompt's token ids in training differ from those at generation."""


class TrainingError(HarnessError):
    """The loss or gradient is not finite, or the loss diverged; checkpoints are kept."""


class StoppedError(HarnessError):
    """A signal ended the work, and what was done until then is saved."""

    def __init__(self, text: str, signal: int) -> None:
        super().__init__(text)
        self.signal = signal
