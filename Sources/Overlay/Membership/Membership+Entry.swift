internal import Primitives
internal import Wire

extension Membership {
    /// What is kept of another peer: 32 bytes for most, for a member of a large swarm keeps thousands of entries.
    struct Entry: PeerOwned {
        /// What most peers never need.
        private struct Remarks: Sendable {
            var roundTrip = RoundTripEstimator()
            var suspicion: Suspicion?
            var accusedAt: Instant?
            var accuser: PeerID?
            var farewell: Farewell?
            var twins = TwinSigns()
        }

        /// The newest record.
        var kept: KeptRecord
        var since: Instant
        /// None or one.
        private var remarks: [Remarks] = []
        /// Where it stands in `live`, while it is live.
        var livePosition: PeerSlot?
        var state: Member.State

        init(_ kept: KeptRecord, state: Member.State, since: Instant) {
            self.kept = kept
            self.state = state
            self.since = since
        }

        var record: PeerRecord { kept.record }
        var peer: PeerID { kept.record.contact.peer }

        /// Round trips of direct probes.
        var roundTrip: RoundTripEstimator {
            get { remarks.first?.roundTrip ?? RoundTripEstimator() }
            set { change(isNeeded: newValue.smoothed != nil) { $0.roundTrip = newValue } }
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
