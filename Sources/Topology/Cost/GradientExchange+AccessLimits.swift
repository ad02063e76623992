/// What shared access links add to an exchange, by the bytes that must pass them.
extension GradientExchange {
    /// No stage's sums are ready before its access link has received all partial slices, nor anyone's that wait for a
    /// stage whose access link must send all of its own first.
    func limitScatter(_ reduced: inout [Double], finishes: [[Double]], slices: [[Double]]) {
        let replicas = layout.pipelines.count
        for rank in 0..<replicas {
            for position in layout.pipelines[rank].indices {
                let peer = layout.pipelines[rank][position].peer
                let held = segments.indices.filter { segments[$0].stages[rank] == position }
                var sent = 0.0
                var received = 0.0
                for index in held {
                    let bytes = segments[index].bytes * tables.compression.gradientFactor
                    sent += bytes * (1 - slices[index][rank]) * partials[rank]
                    received += bytes * slices[index][rank] * (partials.reduce(0, +) - partials[rank])
                }
                let up = finishes[rank][position] + sent * tables.uplinkSecondsPerByte[peer]
                var first = Double.infinity
                for index in held {
                    for other in 0..<replicas where other != rank {
                        first = min(first, finishes[other][segments[index].stages[other]])
                        reduced[index * replicas + other] = max(reduced[index * replicas + other], up)
                    }
                }
                for index in held {
                    reduced[index * replicas + rank] = max(
                        reduced[index * replicas + rank], first + received * tables.downlinkSecondsPerByte[peer])
                }
            }
        }
    }

    /// The same for the way back.
    func limitGather(_ ends: inout [[Double]], reduced: [Double], slices: [[Double]]) {
        let replicas = layout.pipelines.count
        for rank in 0..<replicas {
            for position in layout.pipelines[rank].indices {
                let peer = layout.pipelines[rank][position].peer
                let held = segments.indices.filter { segments[$0].stages[rank] == position }
                var sent = 0.0
                var received = 0.0
                var first = Double.infinity
                var own = Double.infinity
                for index in held {
                    let bytes = segments[index].bytes * tables.compression.gradientFactor
                    sent += bytes * slices[index][rank] * Double(replicas - 1)
                    received += bytes * (1 - slices[index][rank])
                    own = min(own, reduced[index * replicas + rank])
                    for other in 0..<replicas where other != rank {
                        first = min(first, reduced[index * replicas + other])
                    }
                }
                ends[rank][position] = max(ends[rank][position], first + received * tables.downlinkSecondsPerByte[peer])
                let up = own + sent * tables.uplinkSecondsPerByte[peer]
                for index in held {
                    for other in 0..<replicas where other != rank {
                        let stage = segments[index].stages[other]
                        ends[other][stage] = max(ends[other][stage], up)
                    }
                }
            }
        }
    }
}
