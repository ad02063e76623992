import Testing

/// Tests that launch the real program as several processes. They measure time, so they run one after the other; and
/// `Tools/test` runs them by themselves.
@Suite(.serialized) enum SystemTests {}
