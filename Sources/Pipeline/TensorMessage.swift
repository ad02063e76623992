package import Wire

/// An activation or its gradient on the way between two stages: `rows` × `columns` numbers, row after row.
package struct TensorMessage: Hashable, Sendable {
    package var phase: StepPhase
    package var microBatch: Int
    /// Sequences × tokens.
    package var rows: Int
    /// Width of the model.
    package var columns: Int
    package var codec: TensorCodec
    package var payload: [UInt8]

    /// Encodes `rows * columns` values.
    package init(
        phase: StepPhase, microBatch: Int, rows: Int, columns: Int, codec: TensorCodec,
        values: some RandomAccessCollection<Float>
    ) {
        precondition(values.count == rows * columns, "as many values as the shape says")
        self.phase = phase
        self.microBatch = microBatch
        self.rows = rows
        self.columns = columns
        self.codec = codec
        payload = codec.encode(values, rowLength: max(columns, 1))
    }

    /// The values, if the tensor has exactly the shape and codec that the job calls for.
    package func values(rows: Int, columns: Int, codec: TensorCodec) throws(WireError) -> [Float] {
        guard self.rows == rows, self.columns == columns, self.codec == codec else { throw .outOfRange }
        return try codec.decode(payload, elements: rows * columns, rowLength: max(columns, 1))
    }
}

extension TensorMessage: WireCodable {
    package func encode(to writer: inout WireWriter) {
        writer.write(phase)
        writer.writeVarint(UInt64(microBatch))
        writer.writeVarint(UInt64(rows))
        writer.writeVarint(UInt64(columns))
        writer.write(codec)
        writer.writeRaw(payload)
    }

    package init(from reader: inout WireReader) throws(WireError) {
        phase = try reader.read(StepPhase.self)
        microBatch = try reader.readCount(maximum: Limits.microBatchesPerStep)
        rows = try reader.readCount(maximum: Limits.tensorElements)
        columns = try reader.readCount(maximum: Limits.tensorElements)
        codec = try reader.read(TensorCodec.self)
        let (elements, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard !overflow, elements <= Limits.tensorElements else { throw .outOfRange }
        let size = codec.byteCount(elements: elements, rowLength: max(columns, 1))
        guard size <= Limits.tensorBytes else { throw .outOfRange }
        payload = try reader.readRaw(size)
    }
}
