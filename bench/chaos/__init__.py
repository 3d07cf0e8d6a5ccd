"""The daemon as a process while everything around it breaks; judged by what receivers, the API and the files show."""
