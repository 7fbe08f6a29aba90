"""The core's dependency descriptors as Python values, for tests; media never comes this way."""

cimport cython

from libc.errno cimport ENODATA
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from "dependency.h" nogil:
    struct dependency_structure:
        uint8_t target_count
    struct dependency_state:
        dependency_structure structure
    struct dependency_frame:
        uint64_t dtis
        uint32_t active_targets
        uint16_t frame_number
        uint16_t fdiffs[8]
        uint16_t fdiff_count
        uint8_t start, end, structure_attached, key_frame, spatial_id, temporal_id
        uint16_t width, height
    int dependency_read_untrusted(
        dependency_state *state, const uint8_t *bytes, size_t length, dependency_frame *frame)

cdef extern from "layer.h" nogil:
    struct packet_layer:
        uint8_t needed, switch_up
    packet_layer layer_of_dependency(const dependency_state *state, const dependency_frame *frame)


class DescriptorError(ValueError):
    """The descriptor is malformed."""


@cython.final
cdef class DependencyReader:
    """Reads the descriptors of one encoding in order."""
    cdef dependency_state state

    def __cinit__(self):
        memset(&self.state, 0, sizeof(self.state))

    def read(self, const uint8_t[::1] descriptor not None):
        """What it says of its frame, or None while its structure is not known."""
        cdef dependency_frame frame
        cdef packet_layer layer
        cdef int result = dependency_read_untrusted(
            &self.state, &descriptor[0] if len(descriptor) else NULL, len(descriptor), &frame)
        if result == -ENODATA:
            return None
        if result < 0:
            raise DescriptorError("malformed")
        layer = layer_of_dependency(&self.state, &frame)
        cdef unsigned int targets = self.state.structure.target_count
        return {
            "number": frame.frame_number,
            "start": bool(frame.start),
            "end": bool(frame.end),
            "key": bool(frame.key_frame),
            "spatial": frame.spatial_id,
            "temporal": frame.temporal_id,
            "dtis": tuple([frame.dtis >> (2 * i) & 3 for i in range(targets)]),
            "fdiffs": tuple([frame.fdiffs[i] for i in range(min(frame.fdiff_count, 8))]),
            "active": frame.active_targets,
            "size": (frame.width, frame.height),
            "needed": layer.needed,
            "switch_up": layer.switch_up,
        }
