// The stream for Python: made and read through ctypes, stepped by a builtin function, as
// ctypes itself takes longer than a small step does.
#include <new>
#include <string>

#include "dispatch.h"
#include "python.h"
#include "stream.h"

#define UNROLLED_EXPORT extern "C" __attribute__((visibility("default")))

using unrolled::Stream;

namespace {

constexpr const char* kName = "unrolled.stream";

// What the step needs of Python, owned; `args` is a tuple: see unrolled_stream_bind.
struct Bound {
  Stream* stream;
  PyObject* args;
};
enum { kEmpty, kShape, kDtype, kDtypeName, kWide, kConvert };

PyObject* item(const Bound& b, int n) { return PyTuple_GetItem(b.args, n); }

void destroy(PyObject* capsule) {
  Bound* b = static_cast<Bound*>(PyCapsule_GetPointer(capsule, kName));
  delete b->stream;
  Py_DecRef(b->args);
  delete b;
}

// Opens x if it is exactly what a step reads: dtype, shape, row-major.
bool open(const Bound& b, PyObject* x, Py_buffer& view) {
  PyObject* dtype = PyObject_GetAttr(x, item(b, kDtypeName));
  if (!dtype) { PyErr_Clear(); return false; }
  const bool right = dtype == item(b, kDtype);
  Py_DecRef(dtype);
  if (!right) return false;
  if (PyObject_GetBuffer(x, &view, PyBUF_ND)) { PyErr_Clear(); return false; }
  const Stream& s = *b.stream;
  const long columns = s.takes_ids() ? 1 : s.features(), size = s.takes_ids() ? 8 : 4;
  const bool fits = view.ndim == (s.takes_ids() ? 1 : 2) && view.shape[0] == s.rows() &&
                    (s.takes_ids() || view.shape[1] == columns) && view.len == s.rows() * columns * size;
  if (!fits) PyBuffer_Release(&view);
  return fits;
}

// Where Python waits this long for a step, other Python threads may run meanwhile.
constexpr double kLongStep = 2e6;  // multiply-adds

PyObject* step(PyObject* capsule, PyObject* given) {
  const Bound& b = *static_cast<Bound*>(PyCapsule_GetPointer(capsule, kName));
  Stream& s = *b.stream;
  PyObject* converted = nullptr;
  Py_buffer x, y;
  if (!open(b, given, x)) {
    // Convert what can be converted; the rest raises there.
    converted = PyObject_CallFunctionObjArgs(item(b, kConvert), given, nullptr);
    if (!converted) return nullptr;
    if (!open(b, converted, x)) {
      Py_DecRef(converted);
      return PyObject_CallObject(item(b, kDtypeName), nullptr);  // cannot be; raises
    }
  }
  PyObject* result = PyObject_CallFunctionObjArgs(item(b, kEmpty), item(b, kShape), item(b, kWide), nullptr);
  if (result && PyObject_GetBuffer(result, &y, PyBUF_WRITABLE)) {
    Py_DecRef(result);
    result = nullptr;
  }
  if (result) {
    PyThreadState* python = s.work() >= kLongStep ? PyEval_SaveThread() : nullptr;
    const bool done = s.step(static_cast<const float*>(x.buf), static_cast<const int64_t*>(x.buf),
                             static_cast<float*>(y.buf));
    if (python) PyEval_RestoreThread(python);
    PyBuffer_Release(&y);
    if (!done) {  // an unknown id: said by the converter
      Py_DecRef(result);
      result = PyObject_CallFunctionObjArgs(item(b, kConvert), given, nullptr);
    }
  }
  PyBuffer_Release(&x);
  if (converted) Py_DecRef(converted);
  return result;
}

PyMethodDef method = {"step", step, METH_O, "One time step."};

}  // namespace

// A Stream, or null with the reason in `why`, good until the thread asks again: what is wrong
// with a recipe, or nothing where memory is short.
UNROLLED_EXPORT void* unrolled_stream_make(const unrolled::StepLayer* layers, int count, int64_t B,
                                           int64_t D, int storage, const char** why) {
  const unrolled::Kernels* chosen = unrolled::kernels(why);
  if (!chosen) return nullptr;
  thread_local std::string problem;
  Stream* stream = Stream::make(*chosen, layers, count, B, D, storage, problem);
  *why = problem.c_str();
  return stream;
}
UNROLLED_EXPORT void unrolled_stream_free(void* stream) { delete static_cast<Stream*>(stream); }
UNROLLED_EXPORT void unrolled_stream_reset(void* stream, const uint8_t* rows) {
  static_cast<Stream*>(stream)->reset(rows);
}
UNROLLED_EXPORT void unrolled_stream_read(void* stream, float* to) {
  static_cast<Stream*>(stream)->read(to);
}
UNROLLED_EXPORT void unrolled_stream_write(void* stream, const float* from) {
  static_cast<Stream*>(stream)->write(from);
}

// The step as a builtin function, which owns the stream from then on. `args` is a tuple:
// numpy.empty, the shape of y, the dtype of x, "dtype", float32, and a function that
// makes of anything else an array that a step reads, or raises. Python's lock is held.
UNROLLED_EXPORT PyObject* unrolled_stream_bind(void* stream, PyObject* args) {
  Bound* b = new (std::nothrow) Bound{static_cast<Stream*>(stream), args};
  if (!b) return nullptr;
  Py_IncRef(args);
  PyObject* capsule = PyCapsule_New(b, kName, destroy);
  if (!capsule) return nullptr;
  PyObject* function = PyCFunction_NewEx(&method, capsule, nullptr);
  Py_DecRef(capsule);
  return function;
}
