internal import Primitives
internal import Wire

extension Membership {
    /// What is kept of another peer.
    struct Entry: Sendable {
        /// What most peers never need: kept apart, for a member of a swarm keeps thousands of entries.
        private struct Remarks: Sendable {
            var suspicion: Suspicion?
            var accusedAt: Instant?
            var accuser: PeerID?
            var farewell: Farewell?
            var twins = TwinSigns()
        }

        var record: PeerRecord
        var state: Member.State
        var since: Instant
        var roundTrip = RoundTripEstimator()
        /// Where it stands in `live`, while it is live.
        var livePosition: Int?
        /// None or one.
        private var remarks: [Remarks] = []

        init(record: PeerRecord, state: Member.State, since: Instant) {
            self.record = record
            self.state = state
            self.since = since
        }

        var suspicion: Suspicion? {
            get { remarks.first?.suspicion }
            set { change(isNeeded: newValue != nil) { $0.suspicion = newValue } }
        }

        /// When the suspect was last told of it, because it had spoken.
        var accusedAt: Instant? {
            get { remarks.first?.accusedAt }
            set { change(isNeeded: newValue != nil) { $0.accusedAt = newValue } }
        }

        /// Who declared it dead, while it is dead.
        var accuser: PeerID? {
            get { remarks.first?.accuser }
            set { change(isNeeded: newValue != nil) { $0.accuser = newValue } }
        }

        /// Its goodbye, once it has left.
        var farewell: Farewell? {
            get { remarks.first?.farewell }
            set { change(isNeeded: newValue != nil) { $0.farewell = newValue } }
        }

        /// Signs that two processes use its identity.
        var twins: TwinSigns {
            get { remarks.first?.twins ?? TwinSigns() }
            set { change(isNeeded: true) { $0.twins = newValue } }
        }

        private mutating func change(isNeeded: Bool, _ body: (inout Remarks) -> Void) {
            if remarks.isEmpty {
                guard isNeeded else { return }
                remarks = [Remarks()]
            }
            body(&remarks[0])
        }
    }
}
