"""Trees to graphs of events: every expression and statement of a program, calls included.

context         where lowering stands; lower starts it
statements      with assignment, branches and withs: control flow
expressions     with iteration, objects and tensors: values
calls           with arguments: functions of the project in place, unknown code as such
recognise       a call to the event that it is; constructors, to the thing that it makes
known           calls that are known by name; wrappers, what frameworks make; driven, what they call for every batch
relevance       what is worth lowering at all
"""
