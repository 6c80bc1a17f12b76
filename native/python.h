// The few parts of Python's stable ABI (3.11) that the stream's step uses, declared here:
// the library needs no Python headers to build, and is bound to no version of Python.
#pragma once
#include <cstddef>

extern "C" {
typedef struct _object PyObject;
typedef ptrdiff_t Py_ssize_t;
typedef PyObject* (*PyCFunction)(PyObject*, PyObject*);
typedef struct {
  void* buf;
  PyObject* obj;
  Py_ssize_t len, itemsize;
  int readonly, ndim;
  char* format;
  Py_ssize_t *shape, *strides, *suboffsets;
  void* internal;
} Py_buffer;
struct PyMethodDef {
  const char* ml_name;
  PyCFunction ml_meth;
  int ml_flags;
  const char* ml_doc;
};
struct PyThreadState;
constexpr int METH_O = 8, PyBUF_WRITABLE = 1, PyBUF_ND = 8;

void Py_IncRef(PyObject*);
void Py_DecRef(PyObject*);
PyObject* PyObject_GetAttr(PyObject*, PyObject* name);
PyObject* PyObject_CallObject(PyObject* callable, PyObject* arguments);
PyObject* PyObject_CallFunctionObjArgs(PyObject* callable, ...);
int PyObject_GetBuffer(PyObject*, Py_buffer*, int flags);
void PyBuffer_Release(Py_buffer*);
PyObject* PyCapsule_New(void*, const char* name, void (*destroy)(PyObject*));
void* PyCapsule_GetPointer(PyObject*, const char* name);
PyObject* PyCFunction_NewEx(PyMethodDef*, PyObject* self, PyObject* module);
PyObject* PyTuple_GetItem(PyObject*, Py_ssize_t);  // borrowed
void PyErr_Clear();
PyThreadState* PyEval_SaveThread();
void PyEval_RestoreThread(PyThreadState*);
}
