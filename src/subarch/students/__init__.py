"""From a teacher to students: the teacher is weighed and its vocabulary is cut, once, whatever makes the students."""
